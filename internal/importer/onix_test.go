package importer

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

const reference = `<?xml version="1.0" encoding="utf-8"?>
<ONIXMessage release="3.0" xmlns="http://ns.editeur.org/onix/3.0/reference">
<Header><Sender><SenderName>Somebody</SenderName></Sender></Header>
<Product><RecordReference>r1</RecordReference><NotificationType>03</NotificationType>
<ProductIdentifier><ProductIDType>02</ProductIDType><IDValue>006051275X</IDValue></ProductIdentifier>
<ProductIdentifier><ProductIDType>15</ProductIDType><IDValue>978-0-06-051275-0</IDValue></ProductIdentifier>
<DescriptiveDetail>
<Collection><TitleDetail><TitleType>01</TitleType><TitleElement><TitleElementLevel>02</TitleElementLevel><PartNumber>6</PartNumber><TitleText>Hainish Cycle</TitleText></TitleElement></TitleDetail></Collection>
<TitleDetail><TitleType>01</TitleType><TitleElement><TitleElementLevel>01</TitleElementLevel><TitlePrefix>The</TitlePrefix><TitleWithoutPrefix>Dispossessed</TitleWithoutPrefix></TitleElement></TitleDetail>
<Contributor><SequenceNumber>2</SequenceNumber><ContributorRole>B01</ContributorRole><PersonName>An Editor</PersonName></Contributor>
<Contributor><SequenceNumber>1</SequenceNumber><ContributorRole>A01</ContributorRole><PersonNameInverted>Le Guin, Ursula K.</PersonNameInverted></Contributor>
<Language><LanguageRole>01</LanguageRole><LanguageCode>eng</LanguageCode></Language>
<Subject><SubjectHeadingText>Science Fiction</SubjectHeadingText></Subject>
</DescriptiveDetail>
<PublishingDetail><PublishingDate><PublishingDateRole>01</PublishingDateRole><Date>20030101</Date></PublishingDate>
<PublishingDate><PublishingDateRole>11</PublishingDateRole><Date>1974</Date></PublishingDate></PublishingDetail>
<RelatedMaterial><RelatedProduct><ProductRelationCode>06</ProductRelationCode><ProductIdentifier><ProductIDType>15</ProductIDType><IDValue>9780061054884</IDValue></ProductIdentifier></RelatedProduct>
<RelatedProduct><ProductRelationCode>03</ProductRelationCode><ProductIdentifier><ProductIDType>15</ProductIDType><IDValue>9780441172719</IDValue></ProductIdentifier></RelatedProduct></RelatedMaterial>
</Product>
</ONIXMessage>`

// inShort is the same message with short tags.
func inShort(message string) string {
	for tag, name := range shortTags {
		for _, end := range []string{"<", "</"} {
			message = strings.ReplaceAll(message, end+name+">", end+tag+">")
		}
	}
	return strings.ReplaceAll(message, "ONIXMessage", "ONIXmessage")
}

func TestONIX(t *testing.T) {
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(strings.Replace(reference, "utf-8", "utf-16", 1))
	if err != nil {
		t.Fatal(err)
	}
	latin1, err := charmap.ISO8859_1.NewEncoder().String(strings.NewReplacer("utf-8", "iso-8859-1", "Le Guin, Ursula K.", "Brontë, Émily").Replace(reference))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ message, author string }{
		"reference names": {reference, "Ursula K. Le Guin"},
		"short tags":      {inShort(reference), "Ursula K. Le Guin"},
		"UTF-16":          {utf16, "Ursula K. Le Guin"},
		"Latin-1":         {latin1, "Émily Brontë"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, target := serve(t)
			dir := write(t, map[string]string{"o.xml": c.message})
			report, err := Load(t.Context(), target, ONIX(filepath.Join(dir, "o.xml")), Options{})
			if err != nil || report.RefusedCount() > 0 || report.WarningCount > 0 || len(fake.books) != 1 {
				t.Fatalf("%v, %+v", err, report)
			}
			want := &catalogv1.Book{
				Id: fake.books[0].GetId(), Title: "The Dispossessed", Authors: []string{c.author}, Category: catalogv1.Category_CATEGORY_SCIENCE_FICTION,
				Year: 1974, Tags: []string{"science fiction"}, Series: "Hainish Cycle", SeriesPosition: 6, Isbn13: "9780060512750", Isbns: []string{"9780060512750", "9780061054884"}, Language: "en",
				Source: "onix", SourceId: "9780060512750",
			}
			if got := fake.books[0]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// What is wrong with a product refuses it; what is wrong with the file ends
// the import, in words.
func TestONIXFaults(t *testing.T) {
	product := func(inside string) string {
		return `<ONIXMessage release="3.0">` + "\n<Product>" + inside + "</Product>\n</ONIXMessage>"
	}
	title := "<DescriptiveDetail><TitleDetail><TitleElement><TitleText>T</TitleText></TitleElement></TitleDetail></DescriptiveDetail>"
	for name, c := range map[string]struct{ message, refusal, failure string }{
		"no title":     {product("<RecordReference>1</RecordReference>"), "o.xml:2:1: the product has no title", ""},
		"no key":       {product(title), "o.xml:2:1: the book has no id", ""},
		"withdrawn":    {product("<NotificationType>05</NotificationType>" + title), "withdrawn", ""},
		"too deep":     {product(strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)), "deep", ""},
		"release 2":    {`<ONIXMessage release="2.1"></ONIXMessage>`, "", "only 3.0 and later"},
		"another XML":  {"<html></html>", "", `begins with "html"`},
		"empty":        {" ", "", "no ONIX message"},
		"no XML":       {`<ONIXMessage release="3.0"><Product></Prod>`, "", "o.xml:1:"},
		"Latin-1":      {product("<RecordReference>\xe9</RecordReference>"), "", "not UTF-8"},
		"odd encoding": {`<?xml version="1.0" encoding="klingon"?>` + product(title), "", `"klingon" is not known`},
		"without end":  {product(strings.Repeat("x", maxProduct+1)), "", "larger than 8 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, target := serve(t)
			dir := write(t, map[string]string{"o.xml": c.message})
			report, err := Load(t.Context(), target, ONIX(filepath.Join(dir, "o.xml")), Options{})
			if c.refusal != "" {
				wantFindings(t, report, c.refusal)
			}
			if c.failure == "" && err != nil || c.failure != "" && (err == nil || !strings.Contains(err.Error(), c.failure)) {
				t.Errorf("error %v, want %q", err, c.failure)
			}
			if len(fake.books) > 0 {
				t.Errorf("imported %v", fake.books)
			}
		})
	}
}

func FuzzONIX(f *testing.F) {
	f.Add(reference)
	f.Add(inShort(reference))
	f.Add("\xff\xfe<\x00")
	f.Add(`<ONIXMessage release="3.0"><Product><a/></Product></ONIXMessage>`)
	f.Fuzz(func(t *testing.T, message string) {
		_ = readONIX("f", strings.NewReader(message), func(_ Place, product *element, reason error) error {
			if reason != nil {
				return nil //nolint:nilerr // it is a refusal, and reading goes on
			}
			b, err := bookOf(product, func(string, ...any) {})
			if err != nil {
				return nil //nolint:nilerr // the same
			}
			if b.GetTitle() == "" || len(b.GetAuthors()) > 0 && b.GetAuthors()[0] == "" {
				t.Errorf("%q gives %v", message, b)
			}
			return nil
		})
	})
}
