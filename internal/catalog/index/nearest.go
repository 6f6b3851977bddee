package index

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// Words of a query that are tried to be left out or replaced.
	triedWords = 8
	// Queries offered in place of one that found nothing.
	maxNearest = 3
)

// Nearest are queries like one that finds nothing, each of which finds books:
// with its filters, with words replaced by the nearest that exist, or with a
// word left out. The nearest come first.
func (x *Index) Nearest(q Query) []string {
	words := fold(q.Text)
	if len(words) == 0 {
		return nil
	}
	words = words[:min(len(words), maxWords)]
	var texts []string
	try := func(words []string) {
		text := strings.Join(words, " ")
		if len(texts) == maxNearest || text == "" || slices.Contains(texts, text) {
			return
		}
		if a := x.Search(Query{Text: text, Filter: q.Filter, Limit: 1}); a.Total > 0 {
			texts = append(texts, text)
		}
	}
	replaced := slices.Clone(words)
	for i, word := range words[:min(len(words), triedWords)] {
		replaced[i] = x.nearestWord(word)
	}
	replaced = slices.DeleteFunc(replaced, func(w string) bool { return w == "" })
	if !slices.Equal(replaced, words) {
		try(replaced)
	}
	if len(words) > 1 {
		// The shortest words say least.
		order := make([]int, min(len(words), triedWords))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			return utf8.RuneCountInString(words[a]) - utf8.RuneCountInString(words[b])
		})
		for _, i := range order {
			if utf8.RuneCountInString(words[i]) < leastLetters && len(words) == 2 {
				continue
			}
			try(slices.Delete(slices.Clone(words), i, i+1))
		}
	}
	return texts
}

// nearestWord is the word itself when there is one like it, otherwise the one
// with the fewest slips, of most books, and nothing when half of it is wrong.
func (x *Index) nearestWord(word string) string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	d := &x.words
	if _, ok := d.numbers[word]; ok {
		return word
	}
	length := utf8.RuneCountInString(word)
	if length > longestWord {
		return ""
	}
	best, fewest, books := "", mostSlips+1, 0
	d.near(word, length, min((length-1)/2, mostSlips), func(w uint32, slips int) {
		if n := len(d.books[w]); slips < fewest || slips == fewest && n > books {
			best, fewest, books = d.word(w), slips, n
		}
	})
	return best
}
