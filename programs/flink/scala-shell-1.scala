// SPDX-License-Identifier: Apache-2.0
// The Scala shell of Flink 1.x: the Scala DataStream API, and the Table API.
import org.apache.flink.api.scala._
import org.apache.flink.streaming.api.scala._
val env = new StreamExecutionEnvironment(PndaShell.environment())
val senv = env
lazy val tableEnv = org.apache.flink.table.api.bridge.java.StreamTableEnvironment.create(env.getJavaEnv)
println(s"""Flink ${org.apache.flink.runtime.util.EnvironmentInformation.getVersion}: `env` (also `senv`) is Flink's
StreamExecutionEnvironment for Scala, `tableEnv` its StreamTableEnvironment. Classes and values that are typed
here reach the cluster with each job. Leave with :quit.""")
