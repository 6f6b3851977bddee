package program

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// DescribeSettings writes a table of flags for each group, in Markdown.
func DescribeSettings(out io.Writer, of string, flags []*kong.Flag) {
	fmt.Fprintf(out, "\n## %s\n", of)
	describe := func(title, key string) {
		head := fmt.Sprintf("\n%s\n\n| flag | variable | default | |\n|---|---|---|---|\n", title)
		for _, flag := range flags {
			group := ""
			if flag.Group != nil {
				group = flag.Group.Key
			}
			if group != key || flag.Hidden {
				continue
			}
			text := flag.Help
			for _, env := range flag.Envs {
				text = strings.Replace(text, " ("+env+")", "", 1)
			}
			fmt.Fprintf(out, "%s| `--%s` | %s | %s | %s |\n", head, flag.Name, code(strings.Join(flag.Envs, ", ")), code(flag.Default), strings.ReplaceAll(text, "|", "\\|"))
			head = ""
		}
	}
	describe("What to do:", "")
	for _, g := range groups {
		describe(g.Title, g.Key)
	}
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
