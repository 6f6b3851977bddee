// Package page makes the tokens by which lists are read page after page. A
// token holds the place of the last item as a few numbers; it is opaque to
// clients, and theirs to send back damaged.
package page

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/octavo-books/octavo/fault"
)

var encoding = base64.RawURLEncoding.Strict()

// Token packs numbers, none of them negative.
func Token(numbers ...int64) string {
	var b []byte
	for _, n := range numbers {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return encoding.EncodeToString(b)
}

// Parse unpacks a token of exactly count numbers. Anything that Token did not
// make is an Invalid fault on the field page_token.
func Parse(token string, count int) ([]int64, error) {
	numbers := make([]int64, count)
	b, err := encoding.DecodeString(token)
	if err != nil {
		return nil, invalid()
	}
	for i := range numbers {
		n, size := binary.Uvarint(b)
		if size <= 0 || int64(n) < 0 {
			return nil, invalid()
		}
		numbers[i], b = int64(n), b[size:]
	}
	if len(b) > 0 || Token(numbers...) != token {
		return nil, invalid()
	}
	return numbers, nil
}

func invalid() error {
	return fault.NewInvalid("page_token", "is not a token of this list; start from the first page")
}
