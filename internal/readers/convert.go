package readers

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

func readerFromProto(r *readersv1.Reader, now time.Time) Reader {
	origin := Origin(r.GetOrigin())
	if origin == 0 {
		origin = Imported
	}
	return Reader{
		ID:          r.GetId(),
		Origin:      origin,
		DisplayName: r.GetDisplayName(),
		Source:      r.GetSource(),
		SourceID:    r.GetSourceId(),
		CreatedAt:   timeFromProto(r.GetCreatedAt(), now),
	}
}

func readerToProto(r Reader) *readersv1.Reader {
	return &readersv1.Reader{
		Id:          r.ID,
		Origin:      readersv1.Origin(r.Origin),
		DisplayName: r.DisplayName,
		Source:      r.Source,
		SourceId:    r.SourceID,
		CreatedAt:   timestamppb.New(r.CreatedAt),

		PersonalisationPaused: r.Paused,
	}
}

func interactionFromProto(i *readersv1.Interaction, now time.Time) Interaction {
	return Interaction{
		ClientID:   i.GetId(),
		Reader:     i.GetReaderId(),
		Book:       i.GetBookId(),
		Kind:       Kind(i.GetKind()),
		Stars:      i.GetValue(),
		OccurredAt: timeFromProto(i.GetOccurredAt(), now),
	}
}

func interactionToProto(i *Interaction) *readersv1.Interaction {
	return &readersv1.Interaction{
		Position:   i.Position,
		ReaderId:   i.Reader,
		BookId:     i.Book,
		Kind:       readersv1.InteractionKind(i.Kind),
		Value:      i.Stars,
		OccurredAt: timestamppb.New(i.OccurredAt),
	}
}

func entryToProto(e Entry) *readersv1.ShelfEntry {
	return &readersv1.ShelfEntry{
		BookId:    e.Book,
		Shelf:     readersv1.InteractionKind(e.Shelf),
		Rating:    e.Stars,
		UpdatedAt: timestamppb.New(e.UpdatedAt),
	}
}

func timeFromProto(t *timestamppb.Timestamp, unset time.Time) time.Time {
	if t == nil {
		return unset
	}
	return t.AsTime()
}
