package people

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// OK is the result of what succeeded.
const OK = "ok"

// Bounds of a line of the audit log, in bytes.
const (
	maxObject    = 512
	maxResult    = 256
	auditTimeout = 5 * time.Second
)

// Audit notes that somebody changed something, or tried to: err is how it
// ended. object must hold no secrets. What was done stays done if the line
// can't be written; the log says so then.
func (p *People) Audit(ctx context.Context, who Identity, addr, method, object string, err error) {
	p.audit(ctx, store.Audit{
		User: who.User, Via: who.who(), Address: hostOf(addr), Method: method[strings.LastIndexByte(method, '/')+1:], Object: object, Result: resultOf(err),
	})
}

func (p *People) auditLogin(ctx context.Context, user, via, addr string, err error) {
	if user == "" {
		user = "(unknown)" // people type passwords there
	}
	p.audit(ctx, store.Audit{User: user, Via: via, Address: hostOf(addr), Method: "CreateSession", Object: user, Result: resultOf(err)})
}

// resultOf leaves out what an error says of its cause: that may repeat the
// request.
func resultOf(err error) string {
	if err == nil {
		return OK
	}
	return pieces.KindOf(err).String()
}

func (p *People) audit(ctx context.Context, a store.Audit) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	a.At = p.opts.Now()
	a.ID = auditID(a.At)
	a.Object, a.Result = clean(a.Object, maxObject), clean(a.Result, maxResult)
	if err := p.store.AddAudit(ctx, a); err != nil {
		p.opts.Log.WithError(err).WithField("user", a.User).WithField("method", a.Method).Error("the audit log can't be written")
	}
}

// auditID makes an id that grows with time.
func auditID(at time.Time) string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%012x%s", at.UnixMilli(), hex.EncodeToString(b[:]))
}

// clean bounds a text and takes out what no database keeps.
func clean(s string, most int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
