//go:build !linux

package main

import "errors"

func (d disk) mount(uintptr) error { return errors.ErrUnsupported }

func (d disk) unmount() {}

const (
	remount  = 0
	readOnly = 0
)
