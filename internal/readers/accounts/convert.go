package accounts

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

func accountToProto(a Account) *readersv1.Account {
	return &readersv1.Account{
		ReaderId:          a.Reader,
		Name:              a.Name,
		CreatedAt:         timestamppb.New(a.CreatedAt),
		PasswordChangedAt: timestamppb.New(a.PasswordChangedAt),
	}
}

func sessionToProto(s Session, current int64) *readersv1.Session {
	return &readersv1.Session{
		Id:         s.ID,
		CreatedAt:  timestamppb.New(s.CreatedAt),
		LastSeenAt: timestamppb.New(s.SeenAt),
		Agent:      s.Agent,
		Current:    s.ID == current,
	}
}
