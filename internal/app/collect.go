package app

import "runtime/debug"

// How much garbage a process lets be, in percent of what it keeps. Go's own is 100.
const (
	// CollectOften is for the api's own process: with millions in line nearly all that it keeps is bits without
	// pointers, which cost a collection nothing, but let as much garbage be.
	CollectOften = 50
	// CollectSeldom is for everything in one process, which keeps little and makes much garbage.
	CollectSeldom = 200
)

// Collect has this process collect its garbage sooner or later than Go would, unless its environment has a GOGC.
func Collect(percent int, getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
