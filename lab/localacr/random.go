package localacr

import "crypto/rand"

const (
	hexadecimal       = "0123456789abcdef"
	lowerAlphanumeric = "0123456789abcdefghijklmnopqrstuvwxyz"
	alphanumeric      = lowerAlphanumeric + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// randomText returns n characters of the alphabet, each as likely as the other.
func randomText(n int, alphabet string) string {
	limit := byte(256 / len(alphabet) * len(alphabet) % 256)
	text := make([]byte, 0, n)
	buffer := make([]byte, 2*n)
	for len(text) < n {
		_, _ = rand.Read(buffer) // never fails: it ends the program instead
		for _, b := range buffer {
			if (limit == 0 || b < limit) && len(text) < n {
				text = append(text, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(text)
}
