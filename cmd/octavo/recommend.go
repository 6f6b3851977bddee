package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

type recommendCommand struct {
	Addr       string `aliases:"recommendations-addr" env:"OCTAVO_RECOMMENDATIONS_ADDR" default:"127.0.0.1:50051" group:"addresses" help:"Address of the recommendations service (${env})."`
	User       int32  `aliases:"reader" default:"0" help:"The reader; 0 is an anonymous one."`
	Category   string `placeholder:"NAME" help:"Only this category, such as MYSTERY or science-fiction; all when left out."`
	MaxResults int32  `default:"10" help:"How many books, 1 to 100."`
	Format     string `enum:"table,json" default:"table" help:"table or json."`

	chassis.TLS `embed:""`
}

func (recommendCommand) Help() string {
	return "The categories: " + strings.Join(categoryNames(), ", ") + "."
}

// Validate refuses categories that there are not. It is called by kong.
func (c *recommendCommand) Validate() error {
	_, err := parseCategory(c.Category)
	return err
}

func (c *recommendCommand) Run(ctx context.Context) error {
	category, err := parseCategory(c.Category)
	if err != nil {
		return err
	}
	app, err := chassis.New("octavo", program.Version(), chassis.Flags{TLS: c.TLS, LogLevel: "error", LogFormat: "auto"}, os.Stderr)
	if err != nil {
		return err
	}
	clients, err := peers.Dial(app, peers.Addresses{Recommendations: c.Addr})
	if err != nil {
		return err
	}
	return program.Job(ctx, app, func(ctx context.Context) error {
		answer, err := clients.Recommendations.Recommend(ctx, &recommendationsv1.RecommendRequest{
			ReaderId: c.User, Category: category, MaxResults: c.MaxResults, MaxReasons: 3,
		})
		if fault.KindOf(err) == fault.Unavailable {
			return fmt.Errorf("nothing answers at %s: start it with 'octavo serve', or name another address with --addr, or its certificates with --tls-dir (%s)", c.Addr, fault.Message(err))
		}
		var refused *fault.Error
		if errors.As(err, &refused) && len(refused.Fields) > 0 {
			return fmt.Errorf("%s: %s", refused.Fields[0].Field, refused.Fields[0].Message)
		}
		if message := fault.Message(err); message != "" {
			return errors.New(message)
		}
		if err != nil {
			return fmt.Errorf("recommend: %w", err)
		}
		if c.Format == "json" {
			return printJSON(os.Stdout, answer)
		}
		return printTable(os.Stdout, answer)
	})
}

func printTable(out io.Writer, answer *recommendationsv1.RecommendResponse) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tTITLE\tAUTHORS\tBECAUSE OF")
	for _, book := range answer.GetRecommendations() {
		reasons := make([]string, 0, len(book.GetReasons()))
		for _, reason := range book.GetReasons() {
			title := reason.GetTitle()
			switch reason.GetKind() {
			case recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER:
				title = "best seller"
			case recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK:
				title = "new, like " + title
				if reason.GetBookId() == 0 {
					title = "new"
				}
			default:
			}
			reasons = append(reasons, fmt.Sprintf("%s %.0f %%", title, 100*reason.GetShare()))
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", book.GetId(), book.GetTitle(), strings.Join(book.GetAuthors(), ", "), strings.Join(reasons, ", "))
	}
	return w.Flush()
}

type jsonAnswer struct {
	Model    string     `json:"model"`
	Category string     `json:"category,omitempty"`
	Books    []jsonBook `json:"recommendations"`
}

type jsonBook struct {
	ID      int32        `json:"id"`
	Title   string       `json:"title"`
	Authors []string     `json:"authors"`
	Year    int32        `json:"year,omitempty"`
	Score   float32      `json:"score"`
	Reasons []jsonReason `json:"reasons"`
}

type jsonReason struct {
	Kind  string  `json:"kind"`
	Book  int32   `json:"book,omitempty"`
	Title string  `json:"title,omitempty"`
	Share float32 `json:"share"`
}

func printJSON(out io.Writer, answer *recommendationsv1.RecommendResponse) error {
	printed := jsonAnswer{Model: answer.GetModelVersion(), Books: []jsonBook{}}
	if answer.GetCategory() != catalogv1.Category_CATEGORY_UNSPECIFIED {
		printed.Category = categoryName(answer.GetCategory())
	}
	for _, book := range answer.GetRecommendations() {
		reasons := []jsonReason{}
		for _, reason := range book.GetReasons() {
			kind := strings.ToLower(strings.TrimPrefix(reason.GetKind().String(), "REASON_KIND_"))
			reasons = append(reasons, jsonReason{Kind: kind, Book: reason.GetBookId(), Title: reason.GetTitle(), Share: reason.GetShare()})
		}
		printed.Books = append(printed.Books, jsonBook{
			ID: book.GetId(), Title: book.GetTitle(), Authors: book.GetAuthors(), Year: book.GetYear(), Score: book.GetScore(), Reasons: reasons,
		})
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(printed)
}

func categoryName(c catalogv1.Category) string {
	return strings.TrimPrefix(c.String(), "CATEGORY_")
}

func categoryNames() []string {
	var names []string
	for number := range int32(len(catalogv1.Category_name)) {
		if c := catalogv1.Category(number); c != catalogv1.Category_CATEGORY_UNSPECIFIED {
			names = append(names, categoryName(c))
		}
	}
	return names
}

// parseCategory takes a name in any case, with spaces, hyphens or underscores.
// A number is passed on as it is, in the counting of the seed contract, so that
// the service's answer to an unknown one can be seen.
func parseCategory(name string) (catalogv1.Category, error) {
	if name == "" {
		return catalogv1.Category_CATEGORY_UNSPECIFIED, nil
	}
	if number, err := strconv.ParseInt(name, 10, 32); err == nil {
		return catalogv1.Category(number + 1), nil
	}
	key := "CATEGORY_" + strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(name))
	number, ok := catalogv1.Category_value[key]
	if !ok || number == 0 {
		return 0, fmt.Errorf("there is no category %q; the categories are %s", name, strings.Join(categoryNames(), ", "))
	}
	return catalogv1.Category(number), nil
}
