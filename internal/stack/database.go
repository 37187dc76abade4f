package stack

import (
	"context"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
)

// CreateDatabase makes a database on the Postgres at serverURL and returns its URL. template, where not
// empty, is the database to copy; nobody may be connected to it.
func CreateDatabase(ctx context.Context, serverURL, name, template string) (string, error) {
	created, err := withDatabase(serverURL, name)
	if err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	statement := `CREATE DATABASE ` + pgx.Identifier{name}.Sanitize()
	if template != "" {
		statement += ` TEMPLATE ` + pgx.Identifier{template}.Sanitize()
	}
	if err := execute(ctx, serverURL, statement); err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	return created, nil
}

// CreateTemplate makes a database, has fill give it its tables, and closes it to connections: what is
// copied from it is always the same.
func CreateTemplate(ctx context.Context, serverURL, name string, fill func(ctx context.Context, databaseURL string) error) error {
	created, err := CreateDatabase(ctx, serverURL, name, "")
	if err != nil {
		return err
	}
	if err := fill(ctx, created); err != nil {
		return fmt.Errorf("fill database %s: %w", name, err)
	}
	if err := execute(ctx, serverURL, `ALTER DATABASE `+pgx.Identifier{name}.Sanitize()+` ALLOW_CONNECTIONS false`); err != nil {
		return fmt.Errorf("close database %s: %w", name, err)
	}
	return nil
}

// DropDatabase removes a database and ends the connections it has.
func DropDatabase(ctx context.Context, serverURL, name string) error {
	if err := execute(ctx, serverURL, `DROP DATABASE `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func withDatabase(serverURL, name string) (string, error) {
	u, err := url.Parse(serverURL)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

func execute(ctx context.Context, serverURL, statement string) error {
	conn, err := pgx.Connect(ctx, serverURL)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	_, err = conn.Exec(ctx, statement)
	return err
}
