// Package spelling finds the word that a mistyped one was meant to be.
package spelling

import (
	"slices"
	"strings"
)

// maxWord is the longest word that is compared; a longer one is no typing mistake.
const maxWord = 64

// Nearest returns the known word that is nearest to one that is not known, or "" when none is near: at most a third of its
// characters may differ, three at most, or one of the two may be how the other begins or ends. Case, dashes and spaces count
// for nothing. Of those that are equally near it is the first by the alphabet.
func Nearest(word string, known []string) string {
	best, bestDistance := "", 0
	if len(word) > maxWord {
		return ""
	}
	for _, candidate := range slices.Sorted(slices.Values(known)) {
		distance, near := distance(fold(word), fold(candidate))
		if near && (best == "" || distance < bestDistance) {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// Hint returns what is said after a mistake about a word: "; did you mean vero?", or "" where no known word is near.
func Hint(word string, known []string) string {
	if best := Nearest(word, known); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

var separators = strings.NewReplacer("-", "", "_", "", " ", "", ".", "")

func fold(word string) string { return separators.Replace(strings.ToLower(word)) }

const (
	// limit is how many characters may be wrong.
	limit = 3
	// part is how far a word is from one that it is only a part of: further than any that is mistyped.
	part = limit + 1
	// leastPart is how long a part is at least; what is shorter is a part of too much.
	leastPart = 4
)

// distance returns how far two folded words are apart, and whether that is near.
func distance(word, known string) (distance int, near bool) {
	longest, shortest := max(len(word), len(known)), min(len(word), len(known))
	if longest-shortest <= limit {
		distance = edits(word, known)
		if distance == 0 || distance <= min(limit, longest/3) {
			return distance, true
		}
	}
	return part, shortest >= leastPart && (isPart(known, word) || isPart(word, known))
}

func isPart(whole, end string) bool {
	return strings.HasPrefix(whole, end) || strings.HasSuffix(whole, end)
}

// edits returns how many characters are to be changed, added, taken out or swapped with their neighbour.
func edits(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			changed := row[j] + 1
			if a[i] == b[j] {
				changed = row[j]
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, changed)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
