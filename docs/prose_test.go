package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// The limits of a page's sentences, in words.
const (
	maxP90      = 30
	maxSentence = 60
)

// minCell is the number of words from which a table's cell is a sentence. A shorter one is a name or a figure.
const minCell = 5

func TestSentencesAreShort(t *testing.T) {
	for _, p := range pages(t) {
		s := sentencesOf(p.text)
		if len(s) == 0 {
			t.Errorf("%s has no sentences", p.name)
			continue
		}
		slices.SortFunc(s, func(a, b string) int { return wordCount(a) - wordCount(b) })
		longest := s[len(s)-1]
		median, p90, most := wordCount(s[len(s)/2]), wordCount(s[len(s)*9/10]), wordCount(longest)
		t.Logf("%-28s %4d sentences, words: median %2d, p90 %2d, max %2d", p.name, len(s), median, p90, most)
		if p90 > maxP90 {
			t.Errorf("%s: one sentence in ten has more than %d words, where %d is the limit", p.name, p90-1, maxP90)
		}
		if most > maxSentence {
			t.Errorf("%s: a sentence has %d words, where %d is the limit: %s", p.name, most, maxSentence, longest)
		}
	}
}

// riddles are words that a reader with English as a second language stumbles over, or that make a person of a program.
var riddles = regexp.MustCompile(`(?i)\b(nobody|no-one|whoever|whom|whomever|for ever|mend|mends|mended|mending|` +
	`go by|goes by|went by|let go|lets go|letting go|stand for|stands for|is told|are told|reports whether|report whether|` +
	`aka tells|aka knows|aka understands|the log names|the log tells|the log knows|is not known any more|` +
	`worth its while|has to do with|in little|of their own accord|besides|thereof|wherein|no more)\b( than)?`)

// allowed are the uses of such a word that are good English there, by the page and a piece of the sentence.
var allowed = []struct{ page, piece, reason string }{}

func TestProseHasNoRiddles(t *testing.T) {
	used := map[string]bool{}
	for _, p := range pages(t) {
		for _, sentence := range sentencesOf(p.text) {
			for _, m := range riddles.FindAllStringSubmatch(sentence, -1) {
				if strings.EqualFold(m[0], "no more than") {
					continue // a bound, and the usual words for one
				}
				if !isAllowed(p.name, sentence, used) {
					t.Errorf("%s: %q in: %s", p.name, m[1], sentence)
				}
			}
		}
	}
	for _, a := range allowed {
		if !used[a.page+a.piece] || a.reason == "" {
			t.Errorf("%s: %q is allowed, but not used or without a reason", a.page, a.piece)
		}
	}
}

func isAllowed(page, sentence string, used map[string]bool) bool {
	for _, a := range allowed {
		if a.page == page && strings.Contains(sentence, a.piece) {
			used[a.page+a.piece] = true
			return true
		}
	}
	return false
}

// A checker that takes everything would find nothing.
func TestSentencesOfAPage(t *testing.T) {
	const text = "# A heading is no sentence\n\nOne two `three four` [five six](there.md). Seven 3.5 eight:\n\n" +
		"* item of\n  two lines\n* Next. And `done` twice.\n\n```sh\nnot prose. At all.\n```\n\n" +
		"<!-- vendors: receive -->\n\n| vendor | made from the code of the vendor |\n\n<!-- end of vendors -->\n\n" +
		"| short | a cell that has six words | Two sentences are here. Each one counts. |\n|---|---|---|\n"
	want := []string{
		"One two CODE five six.", "Seven 3.5 eight:", "item of two lines", "Next.", "And CODE twice.",
		"a cell that has six words", "Two sentences are here.", "Each one counts.",
	}
	if got := sentencesOf(text); !slices.Equal(got, want) {
		t.Errorf("sentences:\n got %q\nwant %q", got, want)
	}
	if n := wordCount("One CODE – 3.5 (two) | three"); n != 5 {
		t.Errorf("%d words", n)
	}
	for _, riddle := range []string{"Nobody reads it.", "It goes by that.", "There is no more.", "Mend the cause."} {
		if !riddles.MatchString(riddle) {
			t.Errorf("%q is not found", riddle)
		}
	}
}

var (
	comment = regexp.MustCompile(`(?s)<!--.*?-->`)
	// made are the pieces of pages that other tests write. Their words stand in Go comments and texts.
	made    = regexp.MustCompile(`(?s)<!-- (?:vendors|reasons|flags): .*?<!-- end of \w+ -->|<!-- The table is made by .*?<!-- The table ends -->`)
	picture = regexp.MustCompile(`!?\[([^\]\n]*)\]\([^)\s]*\)`)
	bullet  = regexp.MustCompile(`^\s*(?:[*-]|\d+\.)\s+`)
	// sentenceEnd ends a sentence. The pages have no abbreviations with a full stop.
	sentenceEnd = regexp.MustCompile(`[.!?]['")*]*\s+`)
)

// sentencesOf returns the sentences of a page's prose: of paragraphs, of lists, and of those cells of tables that are long enough
// to be one. Code and generated pieces are left out. A piece of code in a sentence counts as one word.
func sentencesOf(text string) (all []string) {
	text = made.ReplaceAllString(text, "\n\n")
	text = fence.ReplaceAllString(strings.ReplaceAll(text, "   ```", "```"), "\n\n")
	text = comment.ReplaceAllString(text, "")
	text = span.ReplaceAllString(text, "CODE")
	text = picture.ReplaceAllString(text, "$1")
	for _, block := range blocksOf(text) {
		all = append(all, split(block)...)
	}
	return all
}

// blocksOf returns what a sentence cannot go beyond: a paragraph, an item of a list, or a cell.
func blocksOf(text string) (blocks []string) {
	var block []string
	end := func() {
		if len(block) > 0 {
			blocks = append(blocks, strings.Join(block, " "))
		}
		block = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
			end()
		case strings.HasPrefix(trimmed, "|"):
			end()
			blocks = append(blocks, cellsOf(trimmed)...)
		default:
			if bullet.MatchString(line) {
				end()
			}
			block = append(block, strings.TrimSpace(bullet.ReplaceAllString(line, "")))
		}
	}
	end()
	return blocks
}

func cellsOf(row string) (cells []string) {
	for cell := range strings.SplitSeq(strings.Trim(row, "|"), "|") {
		if cell = strings.TrimSpace(cell); wordCount(cell) >= minCell {
			cells = append(cells, cell)
		}
	}
	return cells
}

func split(block string) (sentences []string) {
	for {
		at := sentenceEnd.FindStringIndex(block)
		if at == nil {
			break
		}
		end := at[0] + strings.IndexFunc(block[at[0]:at[1]], unicode.IsSpace)
		sentences = append(sentences, strings.TrimSpace(block[:end]))
		block = strings.TrimSpace(block[end:])
	}
	if wordCount(block) > 0 {
		sentences = append(sentences, block)
	}
	return sentences
}

func wordCount(text string) (n int) {
	for word := range strings.FieldsSeq(text) {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			n++
		}
	}
	return n
}
