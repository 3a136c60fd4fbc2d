// Reads Kafka records with the CloudEvents SDK: a record per line in, what the SDK makes of it per line out.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

type record struct {
	Value string `json:"value"`
}

type output struct {
	Attributes map[string]interface{} `json:"attributes"`
	Data       json.RawMessage        `json:"data"`
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			log.Fatal(err)
		}
		event := cloudevents.NewEvent()
		if err := json.Unmarshal([]byte(r.Value), &event); err != nil {
			log.Fatalf("%v: %s", err, r.Value)
		}
		if err := event.Validate(); err != nil {
			log.Fatalf("%v: %s", err, r.Value)
		}
		attributes := map[string]interface{}{
			"specversion":     event.SpecVersion(),
			"id":              event.ID(),
			"type":            event.Type(),
			"source":          event.Source(),
			"subject":         event.Subject(),
			"time":            event.Time().UTC().Format(time.RFC3339Nano),
			"datacontenttype": event.DataContentType(),
			"dataschema":      event.DataSchema(),
		}
		for name, value := range event.Extensions() {
			attributes[name] = value
		}
		text, err := json.Marshal(output{attributes, event.Data()})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(text))
	}
}
