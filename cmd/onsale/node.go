package main

import "onsale/internal/app"

// nodeCmd runs one service in this process, as its own binary does, with the same environment: the bench starts
// nodes of its own with it, and needs no binary but this one.
type nodeCmd struct {
	Service string `arg:"" enum:"api,admitter" help:"api or admitter."`
}

func (c *nodeCmd) Run(e *env) error { return app.ServeNode(e.ctx, c.Service, e.out) }
