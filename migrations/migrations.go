// Package migrations embeds the schema, one numbered file a step. A file that was released is never changed.
package migrations

import "embed"

// Files are the migrations, NNNN_name.sql.
//
//go:embed *.sql
var Files embed.FS
