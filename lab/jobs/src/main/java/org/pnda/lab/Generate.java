package org.pnda.lab;

import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.formats.avro.AvroSerializationSchema;
import org.apache.flink.formats.avro.typeutils.GenericRecordAvroTypeInfo;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Writes events 0 to {@code --records} - 1 to {@code --topic}, {@code --per-second} of them a second, in two
 * subtasks. Each stays {@code --hold} seconds after its last event, so that its last count is reported.
 */
public final class Generate {
    private static final int SUBTASKS = 2;

    private Generate() {}

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        Schema schema = PndaEvent.schema();
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.setParallelism(SUBTASKS);
        env.fromSequence(0, options.number("records") - 1)
                .map(new Paced(schema.toString(), options))
                .returns(new GenericRecordAvroTypeInfo(schema))
                .name("event")
                .map(new Count("generate"))
                .returns(new GenericRecordAvroTypeInfo(schema))
                .name("count")
                .sinkTo(
                        KafkaSink.<GenericRecord>builder()
                                .setBootstrapServers(options.text("bootstrap"))
                                .setKafkaProducerConfig(KafkaClients.producerProperties())
                                .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
                                .setRecordSerializer(
                                        KafkaRecordSerializationSchema.<GenericRecord>builder()
                                                .setTopic(options.text("topic"))
                                                .setValueSerializationSchema(AvroSerializationSchema.forGeneric(schema))
                                                .build())
                                .build())
                .name("kafka");
        env.execute("lab-generate");
    }

    /** Turns a number into its event, and waits so that there are not more than so many a second. */
    private static final class Paced extends RichMapFunction<Long, GenericRecord> {
        private final String schemaText;
        private final long share;
        private final long perSecond;
        private final long holdSeconds;
        private transient Schema schema;
        private transient long started;
        private transient long done;

        Paced(String schemaText, Options options) {
            this.schemaText = schemaText;
            this.share = options.number("records") / SUBTASKS;
            this.perSecond = options.number("per-second") / SUBTASKS;
            this.holdSeconds = options.number("hold");
        }

        @Override
        public void open(OpenContext context) {
            schema = new Schema.Parser().parse(schemaText);
            started = System.nanoTime();
        }

        @Override
        public GenericRecord map(Long index) throws InterruptedException {
            long dueMillis = done++ * 1000 / perSecond;
            long ahead = dueMillis - (System.nanoTime() - started) / 1_000_000;
            if (ahead > 0) {
                Thread.sleep(ahead);
            }
            return PndaEvent.of(schema, index);
        }

        @Override
        public void close() throws InterruptedException {
            if (done == share) {
                Thread.sleep(holdSeconds * 1000);
            }
        }
    }
}
