package recommender

import "context"

type Dataset struct{}

func NewDataset(events []Event, books []Book) *Dataset { return &Dataset{} }

type Parameters struct{}

type Options struct {
	Position   int64
	Seed       uint64
	Workers    int
	Progress   Progress
	Parameters *Parameters
	Validation *Dataset
}
type Model struct{}

func Train(ctx context.Context, ds *Dataset, o Options) (*Model, error) { return nil, ErrNoData }
func (m *Model) Save(path string) error                                 { return nil }
func Open(path string) (*Model, error)                                  { return nil, ErrNoData }
func (m *Model) Close() error                                           { return nil }

type Info struct {
	Version                string
	Books, Readers         int
	Interactions, Position int64
	Parameters, Metrics    map[string]float64
}

func (m *Model) Info() Info                       { return Info{} }
func (m *Model) Index(bookID int32) (int32, bool) { return 0, false }
func (m *Model) BookID(index int32) int32         { return 0 }
func (m *Model) Readers(index int32) int          { return 0 }

type Own struct {
	Book   int32
	Weight float32
}
type Query struct {
	Own       []Own
	Exclude   []int32
	Category  uint8
	Limit     int
	Diversity float32
}
type Scored struct {
	Book  int32
	Score float32
}

func (m *Model) Recommend(q Query, dst []Scored) []Scored { return dst }

type Share struct {
	Book  int32
	Share float32
}

func (m *Model) Explain(own []Own, book int32, limit int, dst []Share) []Share { return dst }
func (m *Model) Similar(book int32, limit int, dst []Scored) []Scored          { return dst }
func (m *Model) Check() error                                                  { return nil }

type EvaluateConfig struct {
	Train, Valid, Test []Event
	K                  int
	Workers            int
	Seed               uint64
	Progress           Progress
	Rankings           func(reader int32, books []int32)
}
type Figures struct {
	Recall   float64 `json:"recall"`
	NDCG     float64 `json:"ndcg"`
	Readers  int     `json:"readers"`
	Seconds  float64 `json:"seconds"`
	Coverage float64 `json:"coverage"`
}
type Evaluation struct {
	Figures
	Popularity Figures            `json:"popularity"`
	ItemKNN    Figures            `json:"item_knn"`
	Parameters map[string]float64 `json:"parameters"`
	K          int                `json:"k"`
}

func Evaluate(ctx context.Context, c EvaluateConfig) (*Evaluation, error) { return nil, ErrNoData }
