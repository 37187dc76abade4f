package main

import (
	"fmt"

	"onsale/store"
)

type migrateCmd struct{}

func (c *migrateCmd) Run(e *env) error {
	url, err := e.setting("DATABASE_URL")
	if err != nil {
		return err
	}
	if err := store.Migrate(e.ctx, url); err != nil {
		return err
	}
	fmt.Fprintln(e.out, "the schema is up to date")
	return nil
}
