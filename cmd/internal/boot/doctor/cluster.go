package doctor

import (
	"strings"

	"damselfly/daemon/control"
)

// Cluster checks what the daemon says of its manager and schedulers.
func Cluster(st control.Status) []control.Check {
	checks := []control.Check{managers(st)}
	if len(st.Schedulers) == 0 {
		if len(st.Managers) > 0 {
			return append(checks, bad("schedulers", "the manager names none", "start dfscheduler --manager "+st.Managers[0]))
		}
		return append(checks, good("schedulers", "none configured: this host reads origins alone"))
	}
	for _, s := range st.Schedulers {
		if !s.Connected {
			checks = append(checks, bad("scheduler", s.Address+" can't be reached", "start it, or let port and host through the firewall"))
			continue
		}
		checks = append(checks, good("scheduler", "%s answers", s.Address))
	}
	return checks
}

func managers(st control.Status) control.Check {
	all := strings.Join(st.Managers, ", ")
	switch {
	case len(st.Managers) == 0:
		return good("manager", "none configured")
	case !st.ManagerOK:
		return bad("manager", all+" can't be reached; the last known config is used", "start dfmanager, or let its port (65003) through the firewall")
	}
	return good("manager", "%s answers", all)
}
