package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podapi "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	securityapi "k8s.io/pod-security-admission/api"
	security "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var forms = []string{"service", "sidecar"}

// secretKeys are those of the Secret that docs/deploy.md has its reader make.
var secretKeys = []string{"admin", "read", "write-key", "kissmetrics", "mixpanel", "vero"}

// build is kubectl kustomize: the manifests of a form, with what watches it.
func build(t *testing.T, form string) [][]byte {
	t.Helper()
	files := filesys.MakeFsInMemory()
	root := filepath.Join(repository, "deploy/kubernetes")
	for _, name := range []string{"service", "sidecar", "monitoring"} {
		entries, err := os.ReadDir(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if err := files.WriteFile("/"+name+"/"+entry.Name(), []byte(read(t, filepath.Join("deploy/kubernetes", name, entry.Name())))); err != nil {
				t.Fatal(err)
			}
		}
	}
	overlay := "namespace: default\nresources: [../" + form + "]\ncomponents: [../monitoring]\n"
	if err := files.WriteFile("/overlay/kustomization.yaml", []byte(overlay)); err != nil {
		t.Fatal(err)
	}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/overlay")
	if err != nil {
		t.Fatal(err)
	}
	var manifests [][]byte
	for _, resource := range made.Resources() {
		manifest, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, manifest)
	}
	return manifests
}

var codecs = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)

// kubernetes is the objects of a form as an API server would keep them, defaults and all; a key that it does not know or an object
// that it would refuse fails the test.
type kubernetes struct {
	set        *appsv1.StatefulSet
	services   []*corev1.Service
	configs    map[string]*corev1.ConfigMap
	monitors   []*monitoring.ServiceMonitor
	disruption *policy.PodDisruptionBudget
}

func admit(t *testing.T, form string) *kubernetes {
	t.Helper()
	k := &kubernetes{configs: map[string]*corev1.ConfigMap{}}
	for _, manifest := range build(t, form) {
		if strings.Contains(string(manifest), "monitoring.coreos.com") {
			monitor := &monitoring.ServiceMonitor{}
			if err := yaml.UnmarshalStrict(manifest, monitor); err != nil {
				t.Fatalf("%v, in\n%s", err, manifest)
			}
			k.monitors = append(k.monitors, monitor)
			continue
		}
		object, err := runtime.Decode(codecs.UniversalDecoder(), manifest)
		if err != nil {
			t.Fatalf("%v, in\n%s", err, manifest)
		}
		if errs := k.keep(t, object, manifest); len(errs) > 0 {
			t.Fatalf("%v, in\n%s", errs.ToAggregate(), manifest)
		}
	}
	if k.set == nil || len(k.services) == 0 || len(k.configs) == 0 || len(k.monitors) == 0 || k.disruption == nil {
		t.Fatalf("got %+v", k)
	}
	return k
}

func (k *kubernetes) keep(t *testing.T, object runtime.Object, manifest []byte) field.ErrorList {
	t.Helper()
	decode := func(into runtime.Object) {
		if err := runtime.DecodeInto(codecs.UniversalDeserializer(), manifest, into); err != nil {
			t.Fatal(err)
		}
	}
	switch o := object.(type) {
	case *apps.StatefulSet:
		k.set = &appsv1.StatefulSet{}
		decode(k.set)
		return appsvalidation.ValidateStatefulSet(o, podapi.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil))
	case *core.Service:
		service := &corev1.Service{}
		decode(service)
		k.services = append(k.services, service)
		if o.Spec.ClusterIP != "" {
			o.Spec.ClusterIPs = []string{o.Spec.ClusterIP} // as the server does before it looks
		}
		return corevalidation.ValidateServiceCreate(o)
	case *core.ConfigMap:
		config := &corev1.ConfigMap{}
		decode(config)
		k.configs[o.Name] = config
		return corevalidation.ValidateConfigMap(o)
	case *policy.PodDisruptionBudget:
		k.disruption = o
		return policyvalidation.ValidatePodDisruptionBudget(o, policyvalidation.PodDisruptionBudgetValidationOptions{})
	}
	t.Fatalf("nothing is known of %T", object)
	return nil
}

// aka is the container that runs it: a sidecar is an init container that goes on.
func (k *kubernetes) aka(t *testing.T) *corev1.Container {
	t.Helper()
	pod := &k.set.Spec.Template.Spec
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			if containers[i].Name == "aka" {
				return &containers[i]
			}
		}
	}
	t.Fatal("no container aka")
	return nil
}

func forEachForm(t *testing.T, check func(t *testing.T, k *kubernetes)) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) { check(t, admit(t, form)) })
	}
}

func TestAClusterTakesTheManifests(t *testing.T) {
	forEachForm(t, func(t *testing.T, k *kubernetes) { k.aka(t) })
}

func TestPodsMeetTheRestrictedStandard(t *testing.T) {
	evaluator, err := security.NewEvaluator(security.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := securityapi.LevelVersion{Level: securityapi.LevelRestricted, Version: securityapi.LatestVersion()}
	forEachForm(t, func(t *testing.T, k *kubernetes) {
		pod := k.set.Spec.Template
		for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
		for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			context := container.SecurityContext
			if context == nil || context.ReadOnlyRootFilesystem == nil || !*context.ReadOnlyRootFilesystem {
				t.Errorf("%s: its root can be written to", container.Name)
			}
			if container.Resources.Limits.Memory().IsZero() || container.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s: may take all of a node", container.Name)
			}
		}
		if context := pod.Spec.SecurityContext; context.FSGroup == nil || *context.FSGroup != *context.RunAsGroup {
			t.Error("the volume is not the pod's to write to")
		}
	})
}

func TestAJournalHasOnePodAndOutlivesIt(t *testing.T) {
	forEachForm(t, func(t *testing.T, k *kubernetes) {
		if *k.set.Spec.Replicas != 1 {
			t.Errorf("%d replicas", *k.set.Spec.Replicas)
		}
		volumes := map[string]bool{}
		for _, claim := range k.set.Spec.VolumeClaimTemplates {
			volumes[claim.Name] = claim.Spec.AccessModes[0] == corev1.ReadWriteOncePod
		}
		for _, mount := range k.aka(t).VolumeMounts {
			if mount.MountPath == "/data" && !volumes[mount.Name] {
				t.Errorf("the journal lies on %s", mount.Name)
			}
		}
	})
}

// A name that leads nowhere is no mistake to an API server.
func TestManifestsNameWhatIsThere(t *testing.T) {
	forEachForm(t, func(t *testing.T, k *kubernetes) {
		pod := k.set.Spec.Template
		ports := map[string]int32{}
		for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			for _, port := range container.Ports {
				ports[port.Name] = port.ContainerPort
			}
		}
		headless := false
		for _, service := range k.services {
			for key, value := range service.Spec.Selector {
				if pod.Labels[key] != value {
					t.Errorf("service %s selects no pod: %s=%s", service.Name, key, value)
				}
			}
			for _, port := range service.Spec.Ports {
				if port.TargetPort.Type != intstr.String || ports[port.TargetPort.StrVal] == 0 {
					t.Errorf("service %s: no port %s", service.Name, port.TargetPort.String())
				}
			}
			headless = headless || service.Name == k.set.Spec.ServiceName && service.Spec.ClusterIP == corev1.ClusterIPNone
			if len(service.Spec.Selector) == 0 {
				t.Errorf("service %s selects nothing", service.Name)
			}
		}
		if !headless {
			t.Errorf("no headless service %s", k.set.Spec.ServiceName)
		}
		if k.disruption.Spec.Selector == nil {
			t.Fatal("the disruption budget is for no pods")
		}
		for key, value := range k.disruption.Spec.Selector.MatchLabels {
			if pod.Labels[key] != value {
				t.Errorf("the disruption budget is for other pods: %s=%s", key, value)
			}
		}
		for _, volume := range pod.Spec.Volumes {
			if volume.ConfigMap != nil && k.configs[volume.ConfigMap.Name] == nil {
				t.Errorf("no config map %s", volume.ConfigMap.Name)
			}
			if volume.Secret != nil && volume.Secret.SecretName != "aka" {
				t.Errorf("secret %s is not the one of docs/deploy.md", volume.Secret.SecretName)
			}
		}
		aka := k.aka(t)
		for _, probe := range []*corev1.Probe{aka.StartupProbe, aka.LivenessProbe} {
			if probe == nil || probe.HTTPGet == nil || ports[probe.HTTPGet.Port.StrVal] != 9090 {
				t.Errorf("probe %+v does not ask the admin port", probe)
			}
		}
	})
}

func TestTheMonitorFindsTheAdminServiceAndItsToken(t *testing.T) {
	forEachForm(t, func(t *testing.T, k *kubernetes) {
		monitor := k.monitors[0]
		found := 0
		for _, service := range k.services {
			matches := true
			for key, value := range monitor.Spec.Selector.MatchLabels {
				matches = matches && service.Labels[key] == value
			}
			if !matches {
				continue
			}
			found++
			if len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Name != monitor.Spec.Endpoints[0].Port {
				t.Errorf("service %s has no port %s", service.Name, monitor.Spec.Endpoints[0].Port)
			}
			if service.Labels[monitor.Spec.JobLabel] != "aka" {
				t.Errorf("the job would be %q, and no alert fires", service.Labels[monitor.Spec.JobLabel])
			}
		}
		if credentials := monitor.Spec.Endpoints[0].Authorization.Credentials; found != 1 || credentials.Name != "aka" || credentials.Key != "read" {
			t.Errorf("%d services, credentials %+v", found, credentials)
		}
	})
}

func TestAkaTakesTheConfigOfThePodAndHasTimeToStop(t *testing.T) {
	forEachForm(t, func(t *testing.T, k *kubernetes) {
		folder := secretFiles(t, secretKeys...)
		for _, config := range k.configs {
			effective := expectTaken(t, strings.ReplaceAll(config.Data["config.yaml"], "/run/secrets/aka", folder))
			needs := shutdownTimeout(t, effective)
			if hook := k.aka(t).Lifecycle; hook != nil {
				needs += time.Duration(hook.PreStop.Sleep.Seconds) * time.Second
			}
			if grace := time.Duration(*k.set.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; grace <= needs {
				t.Errorf("killed after %v, stops in %v", grace, needs)
			}
		}
	})
}

func TestTheDocsMakeTheSecretThatPodsWant(t *testing.T) {
	for _, key := range secretKeys {
		if !strings.Contains(read(t, "docs/deploy.md"), key) {
			t.Errorf("docs/deploy.md does not make the secret's key %s", key)
		}
	}
}
