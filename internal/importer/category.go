package importer

import (
	"fmt"
	"strings"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// categoryNames are the categories as people write them, by number.
var categoryNames = func() []string {
	names := make([]string, len(catalogv1.Category_name))
	for n, name := range catalogv1.Category_name {
		names[n] = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "CATEGORY_"), "_", " "))
	}
	return names
}()

// otherNames are what shops and readers call the categories beside their own
// names. They are also the tags that speak for a category.
//
//nolint:misspell // both spellings are in use
var otherNames = map[catalogv1.Category][]string{
	catalogv1.Category_CATEGORY_LITERATURE:         {"classics", "classic", "classic literature", "literary fiction", "literary", "modern classics", "lit", "fiction literature", "general fiction"},
	catalogv1.Category_CATEGORY_PHILOSOPHY:         {"philosophical", "ethics", "stoicism"},
	catalogv1.Category_CATEGORY_SCIENCE:            {"popular science", "physics", "biology", "mathematics", "maths", "math", "astronomy", "chemistry", "evolution", "neuroscience", "medicine"},
	catalogv1.Category_CATEGORY_MYSTERY:            {"mysteries", "crime", "crime fiction", "detective", "mystery crime", "cozy mystery", "whodunit", "mystery suspense"},
	catalogv1.Category_CATEGORY_SCIENCE_FICTION:    {"sci-fi", "scifi", "sf", "science fiction fantasy", "sci-fi-fantasy", "dystopia", "dystopian", "space opera", "cyberpunk", "time travel"},
	catalogv1.Category_CATEGORY_SELF_HELP:          {"self improvement", "personal development", "selfhelp", "productivity", "self development", "parenting", "health"},
	catalogv1.Category_CATEGORY_FANTASY:            {"high fantasy", "epic fantasy", "urban fantasy", "magic", "paranormal", "dragons"},
	catalogv1.Category_CATEGORY_HORROR:             {"ghosts", "ghost stories", "zombies", "vampire horror"},
	catalogv1.Category_CATEGORY_THRILLER:           {"thrillers", "suspense", "mystery thriller", "thriller suspense", "espionage", "spy", "thriller mystery"},
	catalogv1.Category_CATEGORY_ROMANCE:            {"contemporary romance", "historical romance", "paranormal romance", "chick lit", "chicklit", "erotica", "new adult", "love story", "erotic romance"},
	catalogv1.Category_CATEGORY_HISTORICAL_FICTION: {"historical", "historical novel", "historical novels", "hist fic"},
	catalogv1.Category_CATEGORY_ADVENTURE:          {"action adventure", "action", "westerns", "western", "sea stories"},
	catalogv1.Category_CATEGORY_YOUNG_ADULT:        {"ya", "teen", "ya fiction", "ya fantasy", "young adult fiction", "ya lit"},
	catalogv1.Category_CATEGORY_CHILDREN:           {"childrens", "children s", "children's books", "kids", "kids books", "picture books", "picture book", "childrens books", "middle grade", "juvenile", "children s literature", "childrens literature", "childhood"},
	catalogv1.Category_CATEGORY_COMICS:             {"graphic novels", "graphic novel", "comic", "manga", "comic books", "comics graphic novels", "superheroes", "marvel"},
	catalogv1.Category_CATEGORY_SHORT_STORIES:      {"short story", "short story collections", "stories", "short fiction", "anthology", "anthologies"},
	catalogv1.Category_CATEGORY_POETRY:             {"poems", "poem", "verse"},
	catalogv1.Category_CATEGORY_DRAMA:              {"plays", "play", "theatre", "theater", "shakespeare"},
	catalogv1.Category_CATEGORY_ESSAYS:             {"essay", "journalism"},
	catalogv1.Category_CATEGORY_HUMOR:              {"humour", "funny", "comedy", "satire"},
	catalogv1.Category_CATEGORY_BIOGRAPHY:          {"biographies", "memoir", "memoirs", "autobiography", "biography memoir", "biographical", "memoir biography", "bio"},
	catalogv1.Category_CATEGORY_HISTORY:            {"american history", "world history", "military history", "history non fiction", "historical non fiction", "ancient history"},
	catalogv1.Category_CATEGORY_POLITICS:           {"political", "political science", "current affairs", "sociology", "social issues", "economics politics"},
	catalogv1.Category_CATEGORY_BUSINESS:           {"economics", "finance", "management", "leadership", "entrepreneurship", "business books", "marketing", "money", "personal finance"},
	catalogv1.Category_CATEGORY_PSYCHOLOGY:         {"psych", "mental health", "mental illness"},
	catalogv1.Category_CATEGORY_RELIGION:           {"spirituality", "christian", "theology", "christianity", "faith", "spiritual", "buddhism", "christian non fiction", "religious", "christian living", "inspirational"},
	catalogv1.Category_CATEGORY_ART:                {"arts", "design", "photography", "architecture", "art history", "film"},
	catalogv1.Category_CATEGORY_MUSIC:              {"musicians", "rock music", "music biography"},
	catalogv1.Category_CATEGORY_TRAVEL:             {"travelogue", "travel writing", "travel memoir"},
	catalogv1.Category_CATEGORY_NATURE:             {"animals", "environment", "natural history", "ecology", "gardening", "outdoors"},
	catalogv1.Category_CATEGORY_COOKING:            {"cookbooks", "cookbook", "food", "cooking food", "food and drink", "recipes", "cook books"},
	catalogv1.Category_CATEGORY_TECHNOLOGY:         {"tech", "programming", "computers", "computer science", "computing", "software", "engineering"},
}

// categories finds a category by any of its names, folded.
var categories = func() map[string]catalogv1.Category {
	all := map[string]catalogv1.Category{}
	for c, names := range otherNames {
		for _, n := range names {
			all[fold(n)] = c
		}
	}
	for n, name := range categoryNames {
		if n > 0 {
			all[fold(name)] = catalogv1.Category(n)
		}
	}
	return all
}()

// parseCategory reads a category's name. Case, spaces and signs do not matter;
// nothing at all is UNSPECIFIED.
func parseCategory(s string) (catalogv1.Category, error) {
	if strings.TrimSpace(s) == "" {
		return catalogv1.Category_CATEGORY_UNSPECIFIED, nil
	}
	name := strings.TrimPrefix(fold(s), "category")
	if c, ok := categories[name]; ok {
		return c, nil
	}
	if n := nearest(name, categoryNames[1:]); n != "" {
		return 0, fmt.Errorf("unknown category %q: did you mean %q?", s, n)
	}
	return 0, fmt.Errorf("unknown category %q; the categories are %s", s, strings.Join(categoryNames[1:], ", "))
}
