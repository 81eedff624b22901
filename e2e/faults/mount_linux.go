package main

import (
	"fmt"
	"syscall"
)

// mount mounts the disk, or mounts it anew in another way.
func (d disk) mount(flags uintptr) error {
	return syscall.Mount("tmpfs", d.path, "tmpfs", flags, fmt.Sprintf("size=%d,nr_inodes=%d", diskBytes, d.inodes))
}

func (d disk) unmount() { _ = syscall.Unmount(d.path, syscall.MNT_DETACH) }

const (
	remount  = syscall.MS_REMOUNT
	readOnly = syscall.MS_RDONLY
)
