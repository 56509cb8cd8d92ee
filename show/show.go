// Package show prints for people: aligned tables, lines that fit on a terminal,
// times, ages and sizes, names that cannot harm a terminal.
//
//	t := show.Times{Zone: time.Local, Now: time.Now()}
//	err := show.Table(os.Stdout, []string{"VOLUME", "CREATED"}, [][]string{{"blog", t.When(created)}}, 80)
//
// Everything is pure: what is printed depends on the arguments only.
package show
