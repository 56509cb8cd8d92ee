package snapshot

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
)

// References and paths in requests may have any byte, and JSON carries only UTF-8, so
// they travel as text.Texts. inJSON of a request says which of its fields do.

func (r *DiffRequest) inJSON() any {
	type fields DiffRequest
	return &struct {
		*fields
		A *text.Text `json:"a"`
		B *text.Text `json:"b"`
	}{(*fields)(r), (*text.Text)(&r.A), (*text.Text)(&r.B)}
}

// MarshalJSON keeps every byte.
func (r DiffRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.inJSON()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *DiffRequest) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, r.inJSON()) }

func (r *FileRequest) inJSON() any {
	type fields FileRequest
	return &struct {
		*fields
		Ref *text.Text `json:"ref"`
	}{(*fields)(r), (*text.Text)(&r.Ref)}
}

// MarshalJSON keeps every byte.
func (r FileRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.inJSON()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *FileRequest) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, r.inJSON()) }

func (r *RefRequest) inJSON() any {
	type fields RefRequest
	return &struct {
		*fields
		Ref *text.Text `json:"ref"`
	}{(*fields)(r), (*text.Text)(&r.Ref)}
}

// MarshalJSON keeps every byte.
func (r RefRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.inJSON()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *RefRequest) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, r.inJSON()) }

func (r *BrowseRequest) inJSON() any {
	type fields BrowseRequest
	return &struct {
		*fields
		Ref *text.Text `json:"ref"`
	}{(*fields)(r), (*text.Text)(&r.Ref)}
}

// MarshalJSON keeps every byte.
func (r BrowseRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.inJSON()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *BrowseRequest) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, r.inJSON()) }

func (r *RemoveRequest) inJSON() any {
	type fields RemoveRequest
	return &struct {
		*fields
		Names *text.Texts `json:"names"`
	}{(*fields)(r), (*text.Texts)(&r.Names)}
}

// MarshalJSON keeps every byte.
func (r RemoveRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.inJSON()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *RemoveRequest) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, r.inJSON()) }

func (r *CloneRequest) inJSON() any {
	type fields CloneRequest
	return &struct {
		*fields
		Ref *text.Text `json:"ref"`
	}{(*fields)(r), (*text.Text)(&r.Ref)}
}

// MarshalJSON keeps every byte.
func (r CloneRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.inJSON()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *CloneRequest) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, r.inJSON()) }

// MarshalJSON keeps every byte.
func (r RestoreRequest) MarshalJSON() ([]byte, error) {
	type fields RestoreRequest
	return json.Marshal(struct {
		fields
		Refs text.Texts `json:"refs,omitempty"`
		To   text.Text  `json:"to,omitempty"`
	}{fields(r), r.Refs, text.Text(r.To)})
}

// UnmarshalJSON reads what MarshalJSON wrote. An empty path or stack comes from a
// variable that is not set. It is an error, because the request would mean the live
// volume without it.
func (r *RestoreRequest) UnmarshalJSON(data []byte) error {
	type fields RestoreRequest
	var to, stack, as *text.Text
	in := struct {
		*fields
		Refs  *text.Texts `json:"refs"`
		To    **text.Text `json:"to"`
		Stack **text.Text `json:"stack"`
		As    **text.Text `json:"as"`
	}{(*fields)(r), (*text.Texts)(&r.Refs), &to, &stack, &as}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		given *text.Text
		field *string
	}{{"to", to, &r.To}, {"stack", stack, &r.Stack}} {
		switch {
		case f.given == nil:
			*f.field = ""
		case strings.TrimSpace(string(*f.given)) == "":
			return errors.New(f.name + " is empty")
		default:
			*f.field = string(*f.given)
		}
	}
	if as != nil {
		return errors.New("a restore has no as: a new volume is made by a clone")
	}
	return nil
}

// version is a Version in JSON: its Snapshot's methods would leave the rest out.
type version struct {
	reference.Wire
	SizeBytes int64            `json:"size_bytes,omitempty"`
	Before    *compare.Changes `json:"before,omitempty"`
	Live      *compare.Changes `json:"live,omitempty"`
}

// MarshalJSON keeps every byte.
func (v Version) MarshalJSON() ([]byte, error) {
	return json.Marshal(version{v.Wire(), v.SizeBytes, v.Before, v.Live})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Version) UnmarshalJSON(data []byte) error {
	var w version
	err := json.Unmarshal(data, &w)
	*v = Version{w.Snapshot(), w.SizeBytes, w.Before, w.Live}
	return err
}
