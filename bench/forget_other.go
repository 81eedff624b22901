//go:build !linux

package main

import "os"

// forget is for Linux only.
func forget(*os.File) error { return nil }
