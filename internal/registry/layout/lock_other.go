//go:build !unix || solaris || aix

package layout

import "os"

// lock does nothing here: two programs that write to one folder at the same
// time may lose each other's entry.
func lock(*os.File, bool) error { return nil }

func notBusy(err error) error { return err }
