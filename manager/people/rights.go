package people

import (
	"maps"
	"slices"
	"strings"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// Right is what a method needs, and, as a scope, what a token may.
type Right string

// The rights. Open is for everybody, Self for whoever is known.
const (
	Open Right = "open"
	Self Right = "self"
	// Read sees hosts, tasks and jobs; Operate changes them; Administer changes
	// users and reads the audit log.
	Read       Right = "read"
	Operate    Right = "operate"
	Administer Right = "admin"
	// Account changes the caller's own password and tokens.
	Account Right = "account"
)

// rightOf says what each method of the Admin service needs. What is not here is
// refused.
var rightOf = map[string]Right{
	"CreateSession":  Open,
	"GetSession":     Self,
	"DeleteSession":  Self,
	"ChangePassword": Account,
	"ListTokens":     Self,
	"CreateToken":    Account,
	"DeleteToken":    Account,

	"GetOverview":        Read,
	"GetTraffic":         Read,
	"ListClusters":       Read,
	"GetCluster":         Read,
	"GetClusterConfig":   Read,
	"ListSchedulerNodes": Read,
	"ListHosts":          Read,
	"GetHost":            Read,
	"ListTasks":          Read,
	"GetTask":            Read,
	"GetSwarm":           Read,
	"ListJobs":           Read,
	"GetJob":             Read,
	"ListJobItems":       Read,

	"CreateCluster":       Operate,
	"UpdateCluster":       Operate,
	"DeleteCluster":       Operate,
	"UpdateClusterConfig": Operate,
	"ForgetHost":          Operate,
	"AddTask":             Operate,
	"UpdateTask":          Operate,
	"DeleteTask":          Operate,
	"DeleteName":          Operate,
	"StartJob":            Operate,
	"CancelJob":           Operate,
	"RetryJob":            Operate,

	"ListUsers":     Administer,
	"GetUser":       Administer,
	"CreateUser":    Administer,
	"UpdateUser":    Administer,
	"DeleteUser":    Administer,
	"ResetPassword": Administer,
	"ListAudit":     Administer,
}

// Rights answers what each method needs.
func Rights() map[string]Right { return maps.Clone(rightOf) }

// RightOf answers what a method needs, by its name with or without that of the
// service; ok is false for one that nobody may call.
func RightOf(method string) (r Right, ok bool) {
	r, ok = rightOf[method[strings.LastIndexByte(method, '/')+1:]]
	return r, ok
}

// Changes reports whether a method changes anything, and so goes into the audit
// log.
func Changes(method string) bool {
	name := method[strings.LastIndexByte(method, '/')+1:]
	return !strings.HasPrefix(name, "Get") && !strings.HasPrefix(name, "List")
}

// roleRights is what each role may.
var roleRights = map[store.Role][]Right{
	store.Viewer:   {Read, Account},
	store.Operator: {Read, Operate, Account},
	store.Admin:    {Read, Operate, Administer, Account},
}

// CheckRole refuses what is no role.
func CheckRole(r store.Role) error {
	if _, ok := roleRights[r]; !ok {
		return pieces.Errorf(pieces.Invalid, "role %.40q: want admin, operator or viewer", r)
	}
	return nil
}

// scopeRights is what a token with each scope may, if its user may too.
var scopeRights = map[string][]Right{
	"read":    {Read},
	"operate": {Read, Operate},
	"admin":   {Read, Operate, Administer},
	"account": {Account},
}

// rightsOf is what a user of the role may with a token of the scopes.
func rightsOf(role store.Role, scopes []string) (rights []Right) {
	for _, r := range roleRights[role] {
		if slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(scopeRights[s], r) }) {
			rights = append(rights, r)
		}
	}
	return rights
}
