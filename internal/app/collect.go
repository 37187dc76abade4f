package app

import "runtime/debug"

// collectPercent is how much garbage an api process lets be, of what it keeps: half of what Go would.
const collectPercent = 50

// CollectOften has this process collect its garbage sooner, unless its environment has a GOGC. It is for the api's own
// process: with millions in line nearly all that it keeps is bits without pointers, which cost a collection nothing, but
// let as much garbage be.
func CollectOften(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
}
