// Record Go's loggers: slog, zap, zerolog and logrus. Run by hand in a module of its own; see README.md.
//
//	go run record_loggers.go FOLDER
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"github.com/sirupsen/logrus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

type call struct {
	Level   string         `json:"level"`
	Message string         `json:"message"`
	Fields  map[string]any `json:"fields"`
	Error   string         `json:"error,omitempty"`
}

type scenario struct {
	TimeNs string `json:"calls_time_ns"`
	Calls  []call `json:"calls"`
}

type level struct {
	name   any
	number int
}

var (
	folder string
	told   scenario
	at     time.Time
)

func main() {
	folder = os.Args[1]
	text, err := os.ReadFile(filepath.Join(folder, "scenario.json"))
	check(err)
	decoder := json.NewDecoder(bytes.NewReader(text))
	check(decoder.Decode(&told))
	ns, err := strconv.ParseInt(told.TimeNs, 10, 64)
	check(err)
	at = time.Unix(0, ns).UTC()
	recordSlog()
	recordZap()
	recordZerolog()
	recordLogrus()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return module + " " + dependency.Version
		}
	}
	return module + " " + runtime.Version()
}

// write stores one recording; levels maps the scenario's levels to the logger's own and to OpenTelemetry's numbers.
func write(producer, module, name, form string, payload []byte, levels map[string]level, extra map[string]any) {
	records := []map[string]any{}
	for _, call := range told.Calls {
		level, known := levels[call.Level]
		if !known {
			continue
		}
		record := map[string]any{
			"time_ns": told.TimeNs, "level": level.name, "severity_number": level.number,
			"body": call.Message, "attributes": call.Fields, "service_name": "checkout",
		}
		maps.Copy(record, extra)
		if call.Error != "" {
			record["error"] = map[string]any{"message": call.Error}
		}
		records = append(records, record)
	}
	content := map[string]any{
		"origin": "recorded", "producer": version(module), "kind": "logs", "subject": "logs." + producer,
		"form": form, "records": records,
	}
	target := filepath.Join(folder, producer)
	check(os.MkdirAll(target, 0o755))
	check(os.WriteFile(filepath.Join(target, name+".ndjson"), payload, 0o644))
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	check(encoder.Encode(content))
	check(os.WriteFile(filepath.Join(target, name+".told.json"), text.Bytes(), 0o644))
}

func recordSlog() {
	levels := map[string]slog.Level{
		"trace": slog.LevelDebug - 4, "debug": slog.LevelDebug, "info": slog.LevelInfo + 2,
		"warning": slog.LevelWarn, "error": slog.LevelError, "fatal": slog.LevelError + 4,
	}
	names := map[string]level{}
	for name, each := range levels {
		names[name] = level{each.String(), int(each) + 9}
	}
	var out bytes.Buffer
	options := &slog.HandlerOptions{Level: slog.LevelDebug - 4, AddSource: true, ReplaceAttr: fixedSource}
	handler := slog.NewJSONHandler(&out, options).WithAttrs([]slog.Attr{slog.String("service", "checkout")})
	for _, call := range told.Calls {
		programCounter, _, _, _ := runtime.Caller(0)
		record := slog.NewRecord(at, levels[call.Level], call.Message, programCounter)
		for _, key := range slices.Sorted(maps.Keys(call.Fields)) {
			record.AddAttrs(slog.Any(key, call.Fields[key]))
		}
		if call.Error != "" {
			record.AddAttrs(slog.Any("err", errors.New(call.Error)))
		}
		record.AddAttrs(slog.Group("request", slog.String("id", "r-1"), slog.Duration("took", 1500*time.Millisecond)))
		check(handler.Handle(context.Background(), record))
	}
	extra := map[string]any{
		"request": map[string]any{"id": "r-1", "took_ns": 1_500_000_000},
		"source":  map[string]any{"file": "shop/orders.go", "function": "main.place", "line": 12},
	}
	write("slog", "log/slog", "lines", "NDJSON: time, level (INFO+2), source, msg", out.Bytes(), names, extra)
}

func fixedSource(_ []string, attribute slog.Attr) slog.Attr {
	if source, is := attribute.Value.Any().(*slog.Source); is {
		source.File, source.Function, source.Line = "shop/orders.go", "main.place", 12
	}
	return attribute
}

func recordZap() {
	levels := map[string]level{
		"debug": {"debug", 5}, "info": {"info", 9}, "warning": {"warn", 13}, "error": {"error", 17}, "fatal": {"dpanic", 18},
	}
	var out bytes.Buffer
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel)
	logger := zap.New(core, zap.WithClock(still{})).Named("shop.orders").With(zap.String("service", "checkout"))
	for _, call := range told.Calls {
		name, known := levels[call.Level]
		if !known {
			continue
		}
		fields := []zap.Field{}
		for _, key := range slices.Sorted(maps.Keys(call.Fields)) {
			fields = append(fields, zap.Any(key, call.Fields[key]))
		}
		if call.Error != "" {
			fields = append(fields, zap.Error(errors.New(call.Error)))
		}
		parsed, err := zapcore.ParseLevel(fmt.Sprint(name.name))
		check(err)
		logger.Log(parsed, call.Message, fields...)
	}
	write("zap", "go.uber.org/zap", "lines", "NDJSON: level, ts in float seconds, logger, msg", out.Bytes(), levels,
		map[string]any{"logger": "shop.orders"})
}

type still struct{}

func (still) Now() time.Time                         { return at }
func (still) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

func recordZerolog() {
	levels := map[string]level{
		"trace": {"trace", 1}, "debug": {"debug", 5}, "info": {"info", 9},
		"warning": {"warn", 13}, "error": {"error", 17}, "fatal": {"fatal", 21},
	}
	zerolog.TimestampFunc = func() time.Time { return at }
	zerolog.FatalExitFunc = func() {}
	for _, form := range []struct{ name, format, words string }{
		{"lines", time.RFC3339Nano, "NDJSON: level, time as RFC 3339, message"},
		{"lines_unix_ms", zerolog.TimeFormatUnixMs, "NDJSON: level, time in ms, message"},
	} {
		zerolog.TimeFieldFormat = form.format
		var out bytes.Buffer
		logger := zerolog.New(&out).Level(zerolog.TraceLevel).With().Timestamp().Str("service", "checkout").Logger()
		for _, call := range told.Calls {
			parsed, err := zerolog.ParseLevel(fmt.Sprint(levels[call.Level].name))
			check(err)
			event := logger.WithLevel(parsed).Fields(call.Fields)
			if call.Error != "" {
				event = event.Err(errors.New(call.Error))
			}
			event.Msg(call.Message)
		}
		write("zerolog", "github.com/rs/zerolog", form.name, form.words, out.Bytes(), levels, nil)
	}
}

func recordLogrus() {
	levels := map[string]level{
		"trace": {"trace", 1}, "debug": {"debug", 5}, "info": {"info", 9},
		"warning": {"warning", 13}, "error": {"error", 17}, "fatal": {"fatal", 21},
	}
	var out bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&out)
	logger.SetLevel(logrus.TraceLevel)
	logger.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano})
	logger.ExitFunc = func(int) {}
	for _, call := range told.Calls {
		entry := logger.WithFields(call.Fields).WithField("service", "checkout").WithTime(at)
		if call.Error != "" {
			entry = entry.WithError(errors.New(call.Error))
		}
		parsed, err := logrus.ParseLevel(fmt.Sprint(levels[call.Level].name))
		check(err)
		entry.Log(parsed, call.Message)
	}
	write("logrus", "github.com/sirupsen/logrus", "lines", "NDJSON: level, time as RFC 3339, msg", out.Bytes(), levels, nil)
}
