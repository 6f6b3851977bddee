package program

import "strings"

// didYouMean names the known word that is nearest to one that is not, if any is
// near: every third letter may be wrong, missing or too much.
func didYouMean(word string, known []string) string {
	nearest, least := "", len(word)/3+1
	for _, k := range known {
		if d := distance(strings.ToUpper(word), k); d < least {
			nearest, least = k, d
		}
	}
	if nearest == "" {
		return ""
	}
	return " (did you mean " + nearest + "?)"
}

// distance is how many letters have to be changed, added or removed to make b
// of a (Levenshtein's distance).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
