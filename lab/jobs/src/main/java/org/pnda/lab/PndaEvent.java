package org.pnda.lab;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;

/**
 * PNDA's record of an event, and the lab's test data: event {@code n} is the same on every run, so
 * that a reader can say of each record whether it is right.
 */
final class PndaEvent {
    /** Time of event 0, in milliseconds since 1970. */
    static final long FIRST_TIMESTAMP = 1_700_000_000_000L;

    /** How many sources the events come from; event {@code n} comes from source {@code n % SOURCES}. */
    static final int SOURCES = 10;

    private PndaEvent() {}

    /** Returns PNDA's Avro schema, as in pnda-event.avsc. */
    static Schema schema() {
        try (InputStream in = PndaEvent.class.getResourceAsStream("/pnda-event.avsc")) {
            return new Schema.Parser().parse(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns event {@code index}. */
    static GenericRecord of(Schema schema, long index) {
        GenericRecord event = new GenericData.Record(schema);
        event.put("timestamp", FIRST_TIMESTAMP + index);
        event.put("src", source(index));
        event.put("host_ip", "10.0." + (index % SOURCES) + ".1");
        event.put("rawdata", ByteBuffer.wrap(payload(index)));
        return event;
    }

    /** Returns the source of event {@code index}. */
    static String source(long index) {
        return "source-" + (index % SOURCES);
    }

    /** Returns the payload of event {@code index}: its number, then filling of a length that varies. */
    static byte[] payload(long index) {
        byte[] number = ("event " + index + ' ').getBytes(StandardCharsets.UTF_8);
        byte[] result = Arrays.copyOf(number, number.length + (int) (index % 64));
        Arrays.fill(result, number.length, result.length, (byte) (index % 251));
        return result;
    }
}
