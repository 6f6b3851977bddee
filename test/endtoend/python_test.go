package endtoend

import (
	"os/exec"
	"testing"
)

// debianPython is named in full: another Python that comes first in PATH may
// lack gRPC.
const debianPython = "/usr/bin/python3"

// A client generated from the contract alone, in another language and with
// another implementation of gRPC, must work unchanged.
func TestPythonClient(t *testing.T) {
	plugin := tool(t, "grpc_python_plugin")
	generated := t.TempDir()
	generate := exec.Command(tool(t, "protoc"), "-I", root+"/protobufs",
		"--plugin=protoc-gen-grpc_python="+plugin, "--python_out="+generated, "--grpc_python_out="+generated, "recommendations.proto")
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("generate the Python client: %v\n%s", err, out)
	}
	if out, err := exec.Command(debianPython, "-c", "import grpc, google.protobuf").CombinedOutput(); err != nil {
		t.Fatalf("%s has no gRPC: %s (%v)\n%s", debianPython, setup, err, out)
	}
	at := serve(t, demoFolder(t))
	client := exec.Command(debianPython, "-B", "client.py", at.Recommendations)
	client.Env = append(environment(), "PYTHONPATH="+generated)
	out, err := client.CombinedOutput()
	t.Logf("the client printed:\n%s", out)
	if err != nil {
		t.Fatalf("the Python client: %v", err)
	}
}
