package manifests

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	root = "../.."
	// deployed is where all of it is, from the root.
	deployed = "deploy/kubernetes"
	// onCluster is production as the test on a real cluster applies it.
	onCluster = "test/kubernetes/overlay"
)

// files is what there is of manifests, held in memory so that overlays can be made
// beside those that are there.
func files(t *testing.T) filesys.FileSystem {
	t.Helper()
	held := filesys.MakeFsInMemory()
	for _, folder := range []string{"deploy", onCluster} {
		hold(t, held, folder)
	}
	return held
}

func hold(t *testing.T, held filesys.FileSystem, folder string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return held.WriteFile(name, content)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// entries are the folders in one of deploy/kubernetes.
func entries(t *testing.T, held filesys.FileSystem, folder string) []string {
	t.Helper()
	names, err := held.ReadDir(filepath.Join(deployed, folder))
	if err != nil || len(names) == 0 {
		t.Fatalf("folders in %s: %v, %v", folder, names, err)
	}
	slices.Sort(names)
	return names
}

// build is what 'kubectl kustomize' prints for a folder.
func build(held filesys.FileSystem, folder string) ([]byte, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(held, folder)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", folder, err)
	}
	return resources.AsYaml()
}

// overlay makes an overlay of components beside those that are there, and
// builds it.
func overlay(held filesys.FileSystem, components ...string) ([]byte, error) {
	folder := filepath.Join(deployed, "overlays", strings.Join(components, "-"))
	var text strings.Builder
	text.WriteString("namespace: octavo\nresources: [../../base]\ncomponents:\n")
	for _, name := range components {
		fmt.Fprintf(&text, "- ../../components/%s\n", name)
	}
	if slices.Contains(components, "bucket") {
		text.WriteString("configMapGenerator:\n- {name: octavo, behavior: merge, literals: [\"OCTAVO_MODELS=s3://octavo/models\"]}\n")
	}
	text.WriteString("images:\n")
	for _, name := range programs {
		fmt.Fprintf(&text, "- {name: %s, newName: registry.example.com/%[1]s, newTag: v1}\n", image(name))
	}
	if err := held.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text.String())); err != nil {
		return nil, err
	}
	return build(held, folder)
}

// manifests are the objects of an overlay.
type manifests struct {
	objects []object
}

// object is what Kubernetes is told of one thing.
type object interface {
	runtime.Object
	metav1.Object
}

// decoder knows the kinds that are used here, and refuses fields that they do
// not have.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, policyv1.AddToScheme,
		autoscalingv2.AddToScheme, networkingv1.AddToScheme,
		certmanagerv1.AddToScheme, monitoringv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

// decode reads what build returns.
func decode(text []byte) (*manifests, error) {
	m := &manifests{}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		decoded, kind, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		o, ok := decoded.(object)
		if !ok {
			return nil, fmt.Errorf("%v is no single object", kind)
		}
		m.objects = append(m.objects, o)
	}
	return m, nil
}

// all are the objects of a kind.
func all[T object](m *manifests) []T {
	var found []T
	for _, o := range m.objects {
		if o, ok := o.(T); ok {
			found = append(found, o)
		}
	}
	return found
}

// named is an object by its kind and name, nil when there is none.
func named[T object](m *manifests, name string) T {
	for _, o := range all[T](m) {
		if o.GetName() == name {
			return o
		}
	}
	var none T
	return none
}

// workload is whatever has pods.
type workload struct {
	title string // such as Deployment/catalog
	pod   *corev1.PodTemplateSpec
}

func (m *manifests) workloads() []workload {
	var found []workload
	for _, o := range m.objects {
		switch o := o.(type) {
		case *appsv1.Deployment:
			found = append(found, workload{"Deployment/" + o.Name, &o.Spec.Template})
		case *batchv1.CronJob:
			found = append(found, workload{"CronJob/" + o.Name, &o.Spec.JobTemplate.Spec.Template})
		case *batchv1.Job:
			found = append(found, workload{"Job/" + o.Name, &o.Spec.Template})
		}
	}
	return found
}

// containers are all of a pod, first those that only prepare it.
func (w workload) containers() []*corev1.Container {
	var found []*corev1.Container
	for i := range w.pod.Spec.InitContainers {
		found = append(found, &w.pod.Spec.InitContainers[i])
	}
	for i := range w.pod.Spec.Containers {
		found = append(found, &w.pod.Spec.Containers[i])
	}
	return found
}

// is says which service or job the pods are, as selectors and policies know it.
func (w workload) is() string { return w.pod.Labels["app.kubernetes.io/name"] }
