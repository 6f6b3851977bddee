package catalog

import catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"

func fromProto(b *catalogv1.Book) Book {
	return Book{
		ID:             b.GetId(),
		Title:          b.GetTitle(),
		Authors:        b.GetAuthors(),
		Category:       Category(b.GetCategory()),
		Year:           b.GetYear(),
		Tags:           b.GetTags(),
		Series:         b.GetSeries(),
		SeriesPosition: b.GetSeriesPosition(),
		ISBN13:         b.GetIsbn13(),
		Language:       b.GetLanguage(),
		Source:         b.GetSource(),
		SourceID:       b.GetSourceId(),
		Popularity:     b.GetPopularity(),
	}
}

func toProto(b *Book) *catalogv1.Book {
	return &catalogv1.Book{
		Id:             b.ID,
		Title:          b.Title,
		Authors:        b.Authors,
		Category:       catalogv1.Category(b.Category),
		Year:           b.Year,
		Tags:           b.Tags,
		Series:         b.Series,
		SeriesPosition: b.SeriesPosition,
		Isbn13:         b.ISBN13,
		Language:       b.Language,
		Source:         b.Source,
		SourceId:       b.SourceID,
		Popularity:     b.Popularity,
	}
}

func toProtos(books []Book) []*catalogv1.Book {
	out := make([]*catalogv1.Book, len(books))
	for i := range books {
		out[i] = toProto(&books[i])
	}
	return out
}
