// Package machine tells how busy the machine is on which a bench runs, and puts
// its memory into the state that runs are compared in.
package machine
