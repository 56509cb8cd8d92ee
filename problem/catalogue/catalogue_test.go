package catalogue_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem/catalogue"
)

const page = `# Troubleshooting

## In use

Who uses it.

| message | cause | cure |
|---|---|---|
| ~it was~ | before | gone |

Prose stays.

## Trash

| message | cause | cure |
|---|---|---|

## What others say

| message | cause | cure |
|---|---|---|
| ~kept~ | by | hand |
`

var (
	volumes = catalogue.Messages{
		catalogue.InUse: {{"volume … is in use", "a container has it", "stop it"}},
		catalogue.Trash: {{"nothing to purge", "nothing is old", "wait"}},
	}
	snapshots = catalogue.Messages{
		catalogue.InUse: {{"volume … is in use", "a container has it", "stop it"}, {"… is read", "a diff", "again"}},
	}
)

func TestRender(t *testing.T) {
	made, err := catalogue.Render(page, volumes, snapshots)
	require.NoError(t, err)
	require.Equal(t, `# Troubleshooting

## In use

Who uses it.

| message | cause | cure |
|---|---|---|
| `+"`volume … is in use`"+` | a container has it | stop it |
| `+"`… is read`"+` | a diff | again |

Prose stays.

## Trash

| message | cause | cure |
|---|---|---|
| `+"`nothing to purge`"+` | nothing is old | wait |

## What others say

| message | cause | cure |
|---|---|---|
| ~kept~ | by | hand |
`, made)
	again, err := catalogue.Render(made, volumes, snapshots)
	require.NoError(t, err)
	require.Equal(t, made, again)
}

func TestRenderRefuses(t *testing.T) {
	for name, all := range map[string][]catalogue.Messages{
		"two causes":        {volumes, {catalogue.InUse: {{"volume … is in use", "another", "stop it"}}}},
		"two sections":      {volumes, {catalogue.Trash: {{"volume … is in use", "a container has it", "stop it"}}}},
		"no such section":   {{"Elsewhere": {{"a", "b", "c"}}}},
		"no table under it": {{"Troubleshooting": {{"a", "b", "c"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalogue.Render(page, all...)
			require.Error(t, err)
		})
	}
}

func TestCell(t *testing.T) {
	require.Equal(t, "type 'a ¦ b' and wait", catalogue.Cell(" type `a | b`\nand wait"))
}
