// Command hello is the least that a program of Go does: what starting one costs,
// whoever writes it.
package main

import "os"

func main() { _, _ = os.Stdout.WriteString("hello\n") }
