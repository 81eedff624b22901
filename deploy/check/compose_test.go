package check

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// loadCompose reads the file as docker compose does: schema, interpolation, references.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(repository, "deploy/compose.yaml")}, cli.WithOsEnv, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(project.Services) == 0 {
		t.Fatal("no services")
	}
	return project
}

func TestComposeServicesCanWriteNowhereButTheirVolumes(t *testing.T) {
	for name, service := range loadCompose(t).Services {
		if !service.ReadOnly || service.Privileged || len(service.CapAdd) > 0 {
			t.Errorf("%s: its root is not read-only, or it may do more than others", name)
		}
		if len(service.CapDrop) != 1 || service.CapDrop[0] != "ALL" || len(service.SecurityOpt) != 1 || service.SecurityOpt[0] != "no-new-privileges:true" {
			t.Errorf("%s: capabilities dropped %v, security options %v", name, service.CapDrop, service.SecurityOpt)
		}
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind && !volume.ReadOnly {
				t.Errorf("%s writes to %s", name, volume.Source)
			}
		}
	}
}

func TestComposePublishesNothingBeyondThisMachine(t *testing.T) {
	for name, service := range loadCompose(t).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s at %q", name, port.Published, port.HostIP)
			}
		}
	}
}

func TestComposeKnowsWhetherEachServiceLives(t *testing.T) {
	for name, service := range loadCompose(t).Services {
		if name == "tokens" {
			continue // it ends
		}
		if service.HealthCheck == nil || len(service.HealthCheck.Test) < 2 || service.HealthCheck.Disable {
			t.Errorf("%s has no health check", name)
		}
	}
}

func TestComposeFindsItsFilesInAClone(t *testing.T) {
	project := loadCompose(t)
	built := map[string]bool{}
	for _, service := range project.Services {
		if service.Build != nil {
			built[service.Image] = true
		}
	}
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if _, err := os.Stat(volume.Source); volume.Type == types.VolumeTypeBind && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if service.Build != nil {
			if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if built[service.Image] {
			if service.PullPolicy != types.PullPolicyNever {
				t.Errorf("%s: image %s is made here, and could be pulled from elsewhere", name, service.Image)
			}
		} else if _, version, _ := strings.Cut(service.Image, ":"); version == "" || version == "latest" {
			t.Errorf("%s: image %s may be another one tomorrow", name, service.Image)
		}
		if len(service.EnvFiles) > 0 {
			t.Errorf("%s needs %v, which a clone does not have", name, service.EnvFiles)
		}
	}
}

// Compose builds in parallel, and the second image of a name fails on a machine that has none yet.
func TestComposeBuildsEachImageOnce(t *testing.T) {
	builders := map[string][]string{}
	for name, service := range loadCompose(t).Services {
		if service.Build != nil {
			builders[service.Image] = append(builders[service.Image], name)
		}
	}
	if len(builders["aka"]) == 0 {
		t.Errorf("nothing builds aka: %v", builders)
	}
	for image, names := range builders {
		if len(names) > 1 {
			t.Errorf("%s is built by each of %v", image, names)
		}
	}
}

// What a config takes from the environment must come from its operator.
func TestComposeHandsOnWhatTheConfigReads(t *testing.T) {
	names := regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(read(t, "deploy/compose/aka.yaml"), -1)
	if len(names) == 0 {
		t.Fatal("the config reads nothing from the environment")
	}
	for _, match := range names {
		t.Setenv(match[1], "given")
		value := loadCompose(t).Services["aka"].Environment[match[1]]
		if value == nil || *value != "given" {
			t.Errorf("%s does not reach aka", match[1])
		}
		_ = os.Unsetenv(match[1])
		if value := loadCompose(t).Services["aka"].Environment[match[1]]; value != nil && *value == "" {
			t.Errorf("aka gets an empty %s where there is none", match[1])
		}
	}
}

func TestComposeGivesPrometheusOnlyTheTokenThatReads(t *testing.T) {
	project := loadCompose(t)
	for name, want := range map[string]string{"aka": "admin-token:/run/secrets/admin read-token:/run/secrets/read", "prometheus": "read-token:/run/secrets/read", "grafana": "", "simulators": ""} {
		var got []string
		for _, volume := range project.Services[name].Volumes {
			if strings.HasSuffix(volume.Source, "-token") {
				got = append(got, volume.Source+":"+volume.Target)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s has %v, want %s", name, got, want)
		}
	}
}

// The command is run as it stands, by a shell of this machine and in folders of the test.
func TestComposeMakesTokensOnceThatAkaTakes(t *testing.T) {
	command := loadCompose(t).Services["tokens"].Command
	folder := t.TempDir()
	for _, name := range []string{"admin", "read"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	start := func() (tokens [2]string) {
		run(t, command[0], command[1], strings.ReplaceAll(strings.ReplaceAll(command[2], "/tokens/", folder+"/"), "$$", "$"))
		for i, name := range []string{"admin", "read"} {
			token, err := os.ReadFile(filepath.Join(folder, name, "token"))
			if err != nil {
				t.Fatal(err)
			}
			tokens[i] = string(token)
		}
		return tokens
	}
	first := start()
	if second := start(); second != first {
		t.Error("a second start makes other tokens")
	}
	expectTaken(t, strings.ReplaceAll(read(t, "deploy/compose/aka.yaml"), "/run/secrets", folder))
}

func TestComposeWaitsForAkaToStop(t *testing.T) {
	effective := expectTaken(t, strings.ReplaceAll(read(t, "deploy/compose/aka.yaml"), "/run/secrets/", secretFiles(t, "admin/token", "read/token")+"/"))
	grace := loadCompose(t).Services["aka"].StopGracePeriod
	if stop := shutdownTimeout(t, effective); grace == nil || time.Duration(*grace) <= stop {
		t.Errorf("compose kills after %v, aka stops in %v", grace, stop)
	}
}
