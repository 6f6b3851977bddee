package main

import (
	"path/filepath"
	"time"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/marketplaceservice"
	"github.com/octavo-books/octavo/cmd/internal/models"
	"github.com/octavo-books/octavo/cmd/internal/recommendationsservice"
)

// dataFlags say where octavo keeps everything.
type dataFlags struct {
	DataDir string `env:"OCTAVO_DATA_DIR" default:"octavo-data" type:"path" group:"data" help:"Folder of the databases and models, made when missing (${env})."`
}

// modelFlags say where models are kept, if not in the data folder.
type modelFlags struct {
	Models    string `env:"OCTAVO_MODELS" placeholder:"PLACE" group:"data" help:"Where the published models are, if not in the data folder: another folder, or s3://bucket/prefix (${env})."`
	Cache     string `name:"models-cache" env:"OCTAVO_MODELS_CACHE" type:"path" placeholder:"DIR" group:"data" help:"Folder for models on their way to or from a bucket, if not models-cache in the data folder (${env})."`
	models.S3 `embed:""`
}

// place is where the models of a data folder are.
func (f modelFlags) place(dataDir string) models.Place {
	place := models.Place{Models: filepath.Join(dataDir, "models"), Cache: filepath.Join(dataDir, "models-cache"), S3: f.S3}
	if f.Models != "" {
		place.Models = f.Models
	}
	if f.Cache != "" {
		place.Cache = f.Cache
	}
	return place
}

// databaseFlags say what is kept elsewhere.
type databaseFlags struct {
	CatalogDatabaseURLFile string `name:"catalog-database-url-file" env:"OCTAVO_CATALOG_DATABASE_URL_FILE" type:"path" placeholder:"FILE" group:"data" help:"File with the URL of a PostgreSQL database for the books, which are in the data folder otherwise: postgres://user:password@host:5432/database (${env})."`
	ReadersDatabaseURLFile string `name:"readers-database-url-file" env:"OCTAVO_READERS_DATABASE_URL_FILE" type:"path" placeholder:"FILE" group:"data" help:"The same for the readers and their log; it may be the same database (${env})."`
}

// remoteFlags say which services to work with, such as those of a cluster. They
// have no variables: those of these names say where 'octavo serve' listens.
type remoteFlags struct {
	CatalogAddr string `and:"services" placeholder:"ADDRESS" group:"addresses" help:"Work with the catalog service at this address, such as one in a cluster, in place of the data folder's."`
	ReadersAddr string `and:"services" placeholder:"ADDRESS" group:"addresses" help:"Work with the readers service at this address, in place of the data folder's."`
}

// workFlags are those of commands that work on a data folder, also while an
// octavo serves it, or with services that run by themselves.
type workFlags struct {
	dataFlags     `embed:""`
	modelFlags    `embed:""`
	databaseFlags `embed:""`
	remoteFlags   `embed:""`
	chassis.TLS   `embed:""`
}

// needData refuses to look for what is nowhere: it is neither in a data folder
// nor at addresses or in databases that were named.
func (f workFlags) needData() error {
	if f.CatalogAddr != "" || f.CatalogDatabaseURLFile != "" {
		return nil
	}
	return needDataFolder(f.DataDir)
}

// serveFlags are the settings of 'octavo serve'.
type serveFlags struct {
	dataFlags     `embed:""`
	modelFlags    `embed:""`
	databaseFlags `embed:""`

	HTTPAddr            string        `name:"http-addr" env:"OCTAVO_HTTP_ADDR" default:"127.0.0.1:8080" group:"addresses" help:"Address of the storefront (${env})."`
	HTTPTLSDir          string        `name:"http-tls-dir" env:"OCTAVO_HTTP_TLS_DIR" type:"path" placeholder:"DIR" group:"tls" help:"Folder with the tls.crt and tls.key of the storefront, which is then over HTTPS. Changed files are taken up (${env})."`
	RecommendationsAddr string        `env:"OCTAVO_RECOMMENDATIONS_ADDR" default:"127.0.0.1:50051" group:"addresses" help:"Address of the recommendations service (${env})."`
	CatalogAddr         string        `env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" group:"addresses" help:"Address of the catalog service (${env})."`
	ReadersAddr         string        `env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" group:"addresses" help:"Address of the readers service (${env})."`
	AddressesFile       string        `env:"OCTAVO_ADDRESSES_FILE" type:"path" group:"addresses" help:"Write the addresses in use to this file as JSON once everything is ready (${env})."`
	Demo                bool          `env:"OCTAVO_DEMO" default:"true" negatable:"" group:"data" help:"Fill an empty data folder with the demo library and its simulated readers (${env})."`
	TrainEvery          time.Duration `env:"OCTAVO_TRAIN_EVERY" default:"24h" group:"data" help:"Train again this often when there is something new to learn from; 0 never (${env})."`
	RefreshEvery        time.Duration `env:"OCTAVO_REFRESH_EVERY" default:"10m" group:"data" help:"Take what is new into the model this often, without training all of it again; 0 never (${env})."`

	marketplaceservice.Access     `embed:""`
	recommendationsservice.Memory `embed:""`
	chassis.Flags                 `embed:""`
}
