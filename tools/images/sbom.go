package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"
)

// writeSBOM writes the bill of materials of an image in SPDX 2.3: the program,
// and the modules that Go says are linked into it, with their checksums.
func writeSBOM(file, binary, program, version string, image v1.Image) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("read what %s was built from: %w", program, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	document := billOfMaterials(info, program, version, digest)
	if err := spdxlib.ValidateDocument(document); err != nil {
		return fmt.Errorf("bill of materials: %w", err)
	}
	content, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o666)
}

func billOfMaterials(info *buildinfo.BuildInfo, program, version string, digest v1.Hash) *v2_3.Document {
	const document, container = "DOCUMENT", "Image"
	name := imageName(program)
	bill := &v2_3.Document{
		SPDXVersion:       v2_3.Version,
		DataLicense:       v2_3.DataLicense,
		SPDXIdentifier:    document,
		DocumentName:      name,
		DocumentNamespace: "https://" + module + "/sbom/" + name + "/" + digest.Hex,
		CreationInfo: &v2_3.CreationInfo{
			Created:  "1970-01-01T00:00:00Z", // the same image has the same bill
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "octavo-images"}},
		},
	}
	relate := func(from common.ElementID, how string, to common.ElementID) {
		bill.Relationships = append(bill.Relationships, &v2_3.Relationship{RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)), Relationship: how})
	}
	add := func(p v2_3.Package, purl string) {
		p.PackageDownloadLocation, p.PackageCopyrightText = "NOASSERTION", "NOASSERTION"
		p.PackageExternalReferences = []*v2_3.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: purl}}
		bill.Packages = append(bill.Packages, &p)
	}

	add(v2_3.Package{
		PackageName: name, PackageSPDXIdentifier: container, PackageVersion: version, PrimaryPackagePurpose: "CONTAINER",
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: digest.Hex}},
	}, fmt.Sprintf("pkg:oci/%s@%s%%3A%s", name, digest.Algorithm, digest.Hex))
	relate(document, common.TypeRelationshipDescribe, container)

	const main = "Program"
	add(v2_3.Package{
		PackageName: info.Main.Path, PackageSPDXIdentifier: main, PackageVersion: version,
		PackageLicenseDeclared: "Apache-2.0", PrimaryPackagePurpose: "APPLICATION",
	}, golang(info.Main.Path, version))
	relate(container, common.TypeRelationshipContains, main)

	standard := &debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}
	for i, dependency := range append([]*debug.Module{standard}, info.Deps...) {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		p := v2_3.Package{PackageName: dependency.Path, PackageSPDXIdentifier: common.ElementID(fmt.Sprintf("Module-%d", i)), PackageVersion: dependency.Version}
		if dependency.Sum != "" {
			p.PackageSourceInfo = "go.sum has " + dependency.Sum
		}
		add(p, golang(dependency.Path, dependency.Version))
		relate(main, common.TypeRelationshipDependsOn, p.PackageSPDXIdentifier)
	}
	return bill
}

// golang is the package URL of a Go module.
func golang(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}
