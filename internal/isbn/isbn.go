// Package isbn reads International Standard Book Numbers (ISO 2108) of ten and
// of thirteen digits, checks them, and gives both forms of one the same text.
//
// It never guesses: a number whose check digit is wrong is none.
package isbn

import (
	"errors"
	"strings"
)

// Reasons why a text is no ISBN.
var (
	ErrForm  = errors.New("an ISBN has ten or thirteen digits")
	ErrCheck = errors.New("the check digit is wrong")
)

// Parse gives the thirteen digits of an ISBN of either form. Hyphens, dashes and
// spaces are allowed anywhere.
func Parse(text string) (string, error) {
	digits := strings.ToUpper(strings.Map(func(r rune) rune {
		if strings.ContainsRune("- \u00a0\u2010\u2011\u2012\u2013\u2014\u2212", r) {
			return -1
		}
		return r
	}, text))
	for i := range len(digits) {
		if (digits[i] < '0' || digits[i] > '9') && (digits[i] != 'X' || i != 9 || len(digits) != 10) {
			return "", ErrForm
		}
	}
	switch len(digits) {
	case 13:
		if !strings.HasPrefix(digits, "978") && !strings.HasPrefix(digits, "979") {
			return "", ErrForm
		}
		if check(digits[:12]) != digits[12] {
			return "", ErrCheck
		}
		return digits, nil
	case 10:
		sum := 0
		for i := range 10 {
			d := int(digits[i] - '0')
			if digits[i] == 'X' {
				d = 10
			}
			sum += (10 - i) * d
		}
		if sum%11 != 0 {
			return "", ErrCheck
		}
		digits = "978" + digits[:9]
		return digits + string(check(digits)), nil
	}
	return "", ErrForm
}

// check is the check digit of the first twelve digits of thirteen.
func check(digits string) byte {
	sum := 0
	for i := range 12 {
		d := int(digits[i] - '0')
		if i%2 == 1 {
			d *= 3
		}
		sum += d
	}
	return byte('0' + (10-sum%10)%10)
}
