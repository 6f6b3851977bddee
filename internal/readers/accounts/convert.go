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

func passkeyToProto(p Passkey) *readersv1.Passkey {
	out := &readersv1.Passkey{Id: p.ID, Name: p.Name, CreatedAt: timestamppb.New(p.CreatedAt)}
	if !p.UsedAt.IsZero() {
		out.LastUsedAt = timestamppb.New(p.UsedAt)
	}
	return out
}
