module github.com/octavo-books/octavo/test/kubernetes

go 1.26.0
