package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// query answers the rows of a SELECT, each read by scan.
func query[T any](ctx context.Context, s *Store, doing string, scan func(*sql.Rows) (T, error), sql string, args ...any) ([]T, error) {
	rows, err := s.db.QueryContext(ctx, sql, args...)
	if err != nil {
		return nil, s.failed(ctx, doing, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, s.failed(ctx, doing, err)
		}
		all = append(all, v)
	}
	return all, s.failed(ctx, doing, rows.Err())
}

// where collects conditions and their parameters.
type where struct {
	conds []string
	args  []any
}

// and adds a condition; each ? in it is the next of args.
func (w *where) and(cond string, args ...any) {
	for _, a := range args {
		cond = strings.Replace(cond, "?", w.param(a), 1)
	}
	w.conds = append(w.conds, cond)
}

// param adds a parameter and answers its name in SQL.
func (w *where) param(a any) string {
	w.args = append(w.args, a)
	return "$" + strconv.Itoa(len(w.args))
}

// search adds: text is a part of one of the columns, in any case. What LIKE
// takes for patterns is taken as it stands. A column with a "?" is a condition
// in which that stands for "LIKE text".
func (w *where) search(text string, columns ...string) {
	p := w.param("%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(text)) + "%")
	var any []string
	for _, c := range columns {
		if !strings.Contains(c, "?") {
			c = `LOWER(` + c + `) ?`
		}
		any = append(any, strings.Replace(c, "?", `LIKE `+p+` ESCAPE '\'`, 1))
	}
	w.conds = append(w.conds, "("+strings.Join(any, " OR ")+")")
}

func (w *where) sql() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}
