package org.pnda.lab;

import java.util.BitSet;
import java.util.Map;
import java.util.TreeMap;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericRecord;

/**
 * Compares what the jobs wrote with what they had to write, record by record.
 *
 * <p>{@code --topic} must hold events 0 to {@code --records} - 1, each once and unchanged. {@code
 * --summaries a,b} are topics with one row a source: its name, the number of its events, the bytes of
 * their payloads. Exit code 1 with one line for each difference, 0 with one line where there is none.
 */
public final class ReadBack {
    private static final int SHOWN = 10;

    private int faults;

    private ReadBack() {}

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        ReadBack check = new ReadBack();
        long records = options.number("records");
        check.events(options.text("bootstrap"), options.text("topic"), (int) records);
        for (String topic : options.text("summaries").split(",")) {
            check.summary(options.text("bootstrap"), topic, records);
        }
        if (check.faults > 0) {
            System.out.println(check.faults + " differences");
            System.exit(1);
        }
        System.out.println("read back " + records + " events, each exactly once, and every summary as expected");
    }

    private void events(String bootstrap, String topic, int records) throws Exception {
        Schema schema = PndaEvent.schema();
        BitSet seen = new BitSet(records);
        Reader.each(
                bootstrap,
                topic,
                schema,
                event -> {
                    long index = (Long) event.get("timestamp") - PndaEvent.FIRST_TIMESTAMP;
                    if (index < 0 || index >= records) {
                        fault(topic, "an event that nobody generated: " + event);
                    } else if (!PndaEvent.of(schema, index).equals(event)) {
                        fault(topic, "event " + index + " is changed: " + event);
                    } else if (seen.get((int) index)) {
                        fault(topic, "event " + index + " is there twice");
                    } else {
                        seen.set((int) index);
                    }
                });
        if (seen.cardinality() != records) {
            fault(topic, (records - seen.cardinality()) + " events are missing, the first is " + seen.nextClearBit(0));
        }
    }

    private void summary(String bootstrap, String topic, long records) throws Exception {
        Schema schema =
                SchemaBuilder.record("summary")
                        .fields()
                        .requiredString("src")
                        .requiredLong("events")
                        .requiredLong("bytes")
                        .endRecord();
        Map<String, String> expected = new TreeMap<>();
        for (int source = 0; source < PndaEvent.SOURCES; source++) {
            long events = 0;
            long bytes = 0;
            for (long index = source; index < records; index += PndaEvent.SOURCES) {
                events++;
                bytes += PndaEvent.payload(index).length;
            }
            expected.put(PndaEvent.source(source), events + " events, " + bytes + " bytes");
        }
        Reader.each(bootstrap, topic, schema, row -> row(topic, row, expected));
        expected.forEach((source, value) -> fault(topic, "no row for " + source + " (" + value + ")"));
    }

    private void row(String topic, GenericRecord row, Map<String, String> expected) {
        String value = row.get("events") + " events, " + row.get("bytes") + " bytes";
        String wanted = expected.remove(row.get("src").toString());
        if (!value.equals(wanted)) {
            fault(topic, row.get("src") + " has " + value + ", expected " + wanted);
        }
    }

    private void fault(String topic, String text) {
        faults++;
        if (faults <= SHOWN) {
            System.out.println(topic + ": " + text);
        }
    }
}
