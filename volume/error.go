package volume

import "github.com/casit/berth/problem"

func (s *Store) explain(what string, err error) error { return problem.Explain(s.cfg.URL, what, err) }
