// Package mount measures the FUSE mount beside what a program would do without
// it: read the content file itself, GET the bytes from the origin, or use rclone
// mount or go-fuse's loopback.
//
// Every figure is a ratio of two things done one after the other in the same
// run, and of several such pairs, which take turns in who comes first, the
// median counts. What is read is compared with what must stand there, after the
// clock has stopped (of dd and fio by one more read of the file); and each part proves that it measured what it
// says: that a file really was open in passthrough, that the peer really sent
// the bytes.
//
// Links are shaped (1 Gbit/s); "far" is the same origin behind a proxy that
// holds back every chunk for 10 ms each way. A pair on shaped links during which
// the machine was busy for more than 80 % of the time is void: it measures the
// machine.
package mount
