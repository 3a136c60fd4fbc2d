// Hire a person: a row of our own table and an event of the log, in one transaction. Prints the token.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func main() {
	token, err := hire(context.Background(), os.Args[1], os.Args[2])
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", refused.Code, refused.Message) // HS003: Wrong expected version ...
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(token)
}

func hire(ctx context.Context, id, name string) (token string, err error) {
	events := []map[string]any{{
		"type":         "PersonCreated",
		"occurredAt":   time.Now().UTC().Format(time.RFC3339Nano),
		"actor":        "hr-desk",
		"sourceSystem": "hr",
		"subjects":     []string{id},
		"payload":      map[string]any{"name": name},
	}}
	expected := map[string]int{"holon/" + id: 0} // the stream must not exist yet, otherwise SQLSTATE HS003

	connection, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return "", err
	}
	defer connection.Close(ctx)
	if _, err = connection.Exec(ctx, "CREATE TABLE IF NOT EXISTS people (id text PRIMARY KEY, name text NOT NULL)"); err != nil {
		return "", err
	}
	err = pgx.BeginFunc(ctx, connection, func(transaction pgx.Tx) error {
		row := transaction.QueryRow(ctx, "SELECT token FROM holonstream.append_events($1::jsonb, $2::jsonb)", events, expected)
		if err := row.Scan(&token); err != nil {
			return err
		}
		_, err := transaction.Exec(ctx, "INSERT INTO people VALUES ($1, $2)", id, name)
		return err
	})
	return token, err
}
