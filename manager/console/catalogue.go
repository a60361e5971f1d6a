package console

import (
	"net/url"
	"path"
	"strings"

	"damselfly/proto/managerpb"
)

// catalogueView lists entries with the paths at which hosts find them.
type catalogueView struct {
	tasksView
	// Mount is where hosts have their mount.
	Mount string
	Add   *form
}

const defaultMount = "/mnt/df"

// ByName is the path of a name in a mount, ByID that of a Task.
func (c catalogueView) ByName(name string) string { return path.Join(c.Mount, "by-name", name) }
func (c catalogueView) ByID(id string) string     { return path.Join(c.Mount, id) }

func (v *visit) catalogue() error { return v.showCatalogue(200, newForm(url.Values{})) }

func (v *visit) showCatalogue(status int, add *form) error {
	list, err := v.listTasks()
	if err != nil {
		return err
	}
	mount := v.query("mount")
	if !strings.HasPrefix(mount, "/") || len(mount) > 200 {
		mount = defaultMount
	}
	return v.show(status, "catalogue", "Catalogue", catalogueView{list, mount, add})
}

func (v *visit) addTask() error {
	f := newForm(v.r.PostForm)
	req := &managerpb.AddTaskRequest{
		Url: v.field("url"), Name: v.field("name"), Cluster: v.field("cluster"), Tag: v.field("tag"),
		Application: v.field("application"), Digest: v.field("digest"),
	}
	req.FilterQuery = strings.FieldsFunc(v.field("filter_query"), func(r rune) bool { return r == ',' || r == ' ' })
	if req.Url == "" {
		f.wrong("url", "which URL?")
		return v.showCatalogue(400, f)
	}
	var err error
	if req.Expires, err = expiry(v.field("expires")); err == nil {
		var t *managerpb.TaskEntry
		if t, err = v.admin().AddTask(v.ctx, req); err == nil {
			return v.done("/tasks/"+t.Id, "added")
		}
	}
	if !correctable(err) {
		return err
	}
	f.blame(err, "expires", "expires", "digest", "digest", "tag", "tag", "application", "application",
		"cluster", "cluster", "name", "name", "URL", "url", req.Url, "url")
	return v.showCatalogue(v.o.Status(err), f)
}

func (v *visit) deleteName() error {
	if _, err := v.admin().DeleteName(v.ctx, &managerpb.DeleteNameRequest{Cluster: v.field("cluster"), Name: v.field("name")}); err != nil {
		return err
	}
	return v.done("/catalogue", "deleted")
}
