package docs

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const page = "text\n" +
	"<!-- run: TestA -->\n\n```console\n$ one \\\n    two\nanswer\n$ three\n```\n" +
	"<!-- hardware: a filer -->\n  ```\n  $ four\n  ```\n" +
	"<!-- output -->\nbetween\n```\n$ five\n```\n" +
	"<!-- file: deploy/a.conf -->\n```nginx\nlisten 80;\n```\n"

func TestBlocksHaveTheMarkAboveThem(t *testing.T) {
	blocks, err := Blocks(page)
	require.NoError(t, err)
	require.Equal(t, []Block{
		{4, "run", "TestA", "$ one \\\n    two\nanswer\n$ three\n"},
		{11, "hardware", "a filer", "$ four\n"},
		{16, "", "", "$ five\n"},
		{20, "file", "deploy/a.conf", "listen 80;\n"},
	}, blocks)
	require.Equal(t, []string{"one two", "three"}, blocks[0].Commands())
	require.Empty(t, blocks[3].Commands())
}

func TestABlockWithoutEndIsAnError(t *testing.T) {
	_, err := Blocks("a\n```\nb\n")
	require.EqualError(t, err, "line 2: the block has no end")
}
