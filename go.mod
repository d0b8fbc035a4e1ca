module github.com/pullkey/pullkey

go 1.26.0
